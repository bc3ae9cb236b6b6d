"""Imports weights of Keras, timm or TF-Slim; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import ImportJob

if __name__ == '__main__':
  flags.run(ImportJob, 'tools.importing:import_weights')
