"""Evaluates every checkpoint while training writes them; --help lists flags."""

from engine.config import flags
from engine.config.jobs import EvalLoopJob

if __name__ == '__main__':
  flags.run(EvalLoopJob, 'engine.evaluation.continuous:loop')
