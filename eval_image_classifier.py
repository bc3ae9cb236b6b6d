"""Evaluates one checkpoint on one pass over a split; --help lists every flag."""

from engine import evaluation, flags
from engine.job import EvalJob

if __name__ == '__main__':
  flags.run(EvalJob, evaluation.evaluate)
