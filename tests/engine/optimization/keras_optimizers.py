"""Ten steps of Keras' optimizers, which cannot be loaded beside TF-Slim's Keras 2.

Writes JSON to standard output: name -> kernel and bias after the steps. Keras
takes LAMB's weight decay off before the step, where the paper (and this project)
counts it in the scaled step, so LAMB is compared without.
"""

import json
import sys

import keras
import numpy as np

STEPS, RATE, DECAY = 10, 0.01, 0.05


def main() -> None:
  start = np.random.default_rng(0)
  kernel, bias = start.normal(size=(3, 2)), start.normal(size=2)
  results = {}
  for name, make, decay in (
    ('adamw', keras.optimizers.AdamW, DECAY),
    ('lamb', keras.optimizers.Lamb, None),
  ):
    variables = [
      keras.Variable(value, dtype='float32', name=label)
      for label, value in (('kernel', kernel), ('bias', bias))
    ]
    optimizer = make(RATE, weight_decay=decay, epsilon=1e-6)
    optimizer.exclude_from_weight_decay(var_names=['bias'])
    for _ in range(STEPS):
      # The gradients of a bowl, which depend on the weights of each step.
      gradients = [2 * (v.value - 1) for v in variables]
      optimizer.apply(gradients, variables)
    results[name] = [np.asarray(v.value).tolist() for v in variables]
  json.dump(results, sys.stdout)


if __name__ == '__main__':
  main()
