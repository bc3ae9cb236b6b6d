"""Trains a slim network on TFRecords; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import TrainJob

if __name__ == '__main__':
  flags.run(TrainJob, 'tools.report.after_training:train')
