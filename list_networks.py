"""Prints the catalogue of networks, or one of them layer by layer."""

from engine.config import flags
from engine.config.jobs import ListJob

if __name__ == '__main__':
  flags.run(ListJob, 'tools.catalogue:print_networks')
