"""Weights of PyTorch's networks, and the logits that PyTorch computes with them.

foreign.json.gz is the contract's. pytorch.json.gz is of the same
form, for the networks of the table whose logits that lacks, and again for those
that amplify rounding there. Its logits were computed in float64 by timm 1.0.31,
torchvision 0.29.1 and, for CBAM, by torchvision's ResNets with modules that give
the contract's logits for cbam_resnet50.
"""

import gzip
import json
import pathlib
import zlib

import numpy as np

from weights import modules
from weights.modules import Weights


def _read(name: str):
  path = pathlib.Path(__file__).parents[1] / 'golden' / name
  return json.loads(gzip.decompress(path.read_bytes()))


FOREIGN = _read('foreign.json.gz')
PYTORCH = _read('pytorch.json.gz')


def fill(name: str, shape: list[int], gain: float) -> np.ndarray:
  """Returns the values of a tensor by its name, as the contract defines them."""
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


def tensors_of(entry) -> dict[str, np.ndarray]:
  """Returns the state dict of an entry."""
  return {
    key: fill(key, shape, entry['gain'])
    for key, shape in entry['keys']
    if not key.endswith('num_batches_tracked')
  }


def weights_of(name: str, entry) -> Weights:
  """Returns the weights of an entry."""
  content, names = modules.from_pytorch(tensors_of(entry))
  return Weights(name, 'pytorch', content, names)


def images(size: int) -> np.ndarray:
  """Returns the contract's images."""
  pixels = np.random.default_rng(zlib.crc32(b'images')).uniform(
    -1, 1, (2, 7, 7, 3)
  )
  k = -(-size // 7)
  large = np.kron(pixels, np.ones((1, k, k, 1)))
  return large[:, :size, :size].astype(np.float32)
