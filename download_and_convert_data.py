"""Converts a data set to TFRecord; --help lists every flag."""

if __name__ == '__main__':
  # Imported here, as the worker processes import this file again.
  from engine.config import flags
  from engine.config.jobs import ConvertJob

  flags.run(ConvertJob, 'tools.conversion:convert')
