"""Says what a data set's records hold, and draws some; --help lists flags."""

if __name__ == '__main__':
  # Imported here, as the processes that decode import this file again, and
  # are not to load TensorFlow.
  from engine import flags, inspection
  from engine.job import InspectJob

  flags.run(InspectJob, inspection.inspect)
