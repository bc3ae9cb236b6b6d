"""Computes logits by Keras, which cannot be loaded beside TF-Slim's Keras 2.

Reads lines `name num_classes size gain path` on standard input. For each, it
builds the network, draws its weights, saves them in the path's format, writes
the logits of its images to `path`.npz and prints `done`.
"""

import pathlib
import sys
import zlib

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from weights import reference


def draw(path: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
  """Returns a weight that follows from its name."""
  rng = np.random.default_rng(zlib.crc32(path.encode()))
  z = rng.standard_normal(shape).astype(np.float32)
  kind = path.rpartition('/')[2]
  if kind == 'moving_variance':
    return 0.5 + 0.5 * np.abs(z)
  if kind == 'gamma':
    return 1 + 0.1 * z
  if len(shape) == 1:
    return 0.1 * z
  fan_in = np.prod(shape[:2] if kind == 'depthwise_kernel' else shape[:-1])
  return z * np.float32(gain * np.sqrt(2 / fan_in))


def main() -> None:
  for line in sys.stdin:
    name, num_classes, size, gain, path = line.split()
    model = reference.keras_model(name, int(num_classes), int(size))
    for layer in model.layers:
      layer.set_weights(
        [draw(v.path, v.shape, float(gain)) for v in layer.weights]
      )
    if path.endswith('.weights.h5'):
      model.save_weights(path)
    else:
      model.save(path)
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (2, int(size), int(size), 3))
    images = images.astype(np.float32)
    logits = np.asarray(model(images, training=False))
    np.savez(f'{path}.npz', images=images, logits=np.reshape(logits, [2, -1]))
    keras.backend.clear_session()
    print('done', flush=True)


if __name__ == '__main__':
  main()
