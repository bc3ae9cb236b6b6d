"""Exports a trained network for other runtimes; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import ExportJob

if __name__ == '__main__':
  flags.run(ExportJob, 'tools.export.export:export_model')
