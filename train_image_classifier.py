"""Trains a slim network on TFRecords; --help lists every flag."""

from engine import flags, training
from engine.job import TrainJob

if __name__ == '__main__':
  flags.run(TrainJob, training.train)
