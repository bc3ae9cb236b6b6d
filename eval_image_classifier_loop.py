"""Evaluates every checkpoint while training writes them; --help lists flags."""

from engine import flags, validation
from engine.job import EvalLoopJob

if __name__ == '__main__':
  flags.run(EvalLoopJob, validation.loop)
