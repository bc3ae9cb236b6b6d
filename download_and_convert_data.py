"""Converts a data set to TFRecord; --help lists every flag."""

if __name__ == '__main__':
  # Imported here, as the processes that convert import this file again, and
  # are not to load TensorFlow.
  from engine import conversion, flags
  from engine.job import ConvertJob

  flags.run(ConvertJob, conversion.convert)
