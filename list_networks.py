"""Prints the catalogue of networks, or one of them layer by layer."""

from engine import catalogue, flags
from engine.job import ListJob

if __name__ == '__main__':
  flags.run(ListJob, catalogue.print_networks)
