"""Classifies image files by a trained network; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import PredictJob

if __name__ == '__main__':
  flags.run(PredictJob, 'tools.prediction.predict:predict')
