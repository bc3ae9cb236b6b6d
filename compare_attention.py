"""Trains a network with several kinds of attention; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import CompareJob

if __name__ == '__main__':
  flags.run(CompareJob, 'tools.comparison.compare:compare')
