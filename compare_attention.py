"""Trains a network with several kinds of attention; --help lists every flag."""

from engine import comparison, flags
from engine.job import CompareJob

if __name__ == '__main__':
  flags.run(CompareJob, comparison.compare)
