"""Shows what a trained network looks at; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import VisualizeJob

if __name__ == '__main__':
  flags.run(VisualizeJob, 'tools.visualization.visualize:visualize')
