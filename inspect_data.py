"""Reports what records hold, and draws some; --help lists every flag."""

if __name__ == '__main__':
  # Imported here, as the worker processes import this file again.
  from engine.config import flags
  from engine.config.jobs import InspectJob

  flags.run(InspectJob, 'tools.inspection:inspect')
