"""Evaluates a checkpoint in one pass over a split; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import EvalJob

if __name__ == '__main__':
  flags.run(EvalJob, 'engine.evaluation.evaluator:evaluate')
