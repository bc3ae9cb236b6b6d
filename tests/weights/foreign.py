"""The contract for weights of PyTorch's networks; see contract FOREIGN.md."""

import gzip
import json
import pathlib
import zlib

import numpy as np

from weights import modules
from weights.modules import Weights

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'foreign.json.gz'
FOREIGN = json.loads(gzip.decompress(GOLDEN.read_bytes()))


def fill(name: str, shape: list[int], gain: float) -> np.ndarray:
  """Returns the values of a tensor by its name, as FOREIGN.md defines them."""
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  z = rng.standard_normal(shape).astype(np.float32)
  kind = name.rpartition('.')[2]
  if kind == 'running_var':
    return 0.5 + 0.5 * np.abs(z)
  if kind in ('running_mean', 'bias'):
    return 0.1 * z
  if len(shape) == 1:
    return 1 + 0.1 * z
  return z * np.float32(gain * np.sqrt(2 / np.prod(shape[1:])))


def weights_of(name: str) -> Weights:
  entry = FOREIGN[name]
  tensors = {
    key: fill(key, shape, entry['gain'])
    for key, shape in entry['keys']
    if not key.endswith('num_batches_tracked')
  }
  content, names = modules.from_pytorch(tensors)
  return Weights(name, 'pytorch', content, names)


def images(size: int) -> np.ndarray:
  """Returns the contract's images."""
  pixels = np.random.default_rng(zlib.crc32(b'images')).uniform(
    -1, 1, (2, 7, 7, 3)
  )
  k = -(-size // 7)
  large = np.kron(pixels, np.ones((1, k, k, 1)))
  return large[:, :size, :size].astype(np.float32)
