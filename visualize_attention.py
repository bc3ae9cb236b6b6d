"""Shows what a trained network looks at; --help lists every flag."""

from engine import flags, visualization
from engine.job import VisualizeJob

if __name__ == '__main__':
  flags.run(VisualizeJob, visualization.visualize)
