"""Converts a data set to TFRecord; --help lists every flag."""

from engine import conversion, flags
from engine.job import ConvertJob

if __name__ == '__main__':
  flags.run(ConvertJob, conversion.convert)
