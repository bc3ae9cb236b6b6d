"""Weights as modules: the arrays of each layer, under one set of names.

Keras names a layer's arrays kernel, bias, gamma, …, PyTorch weight, bias,
running_mean, …. Readers in tensor_files.py return both as a module per layer,
with Keras' names and with kernels as Keras stores them: [height, width, inputs,
outputs], [inputs, outputs], or [height, width, channels, multiplier] if a
kernel is depthwise.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

import numpy as np

# Arrays of a batch norm.
NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')
# PyTorch's names of them, and of biases; kernels are called weight.
_PYTORCH = {
  'gamma': 'weight',
  'beta': 'bias',
  'moving_mean': 'running_mean',
  'moving_variance': 'running_var',
  'bias': 'bias',
}

# Layer's name -> array's name -> array.
Modules = dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Weights:
  """The content of a file of weights.

  Attributes:
    source: what to call the file in messages.
    family: 'keras' or 'pytorch'.
    modules: arrays of each layer, in float32.
    names: array's path (module/array) -> its name in the file.
    omitted: number of arrays left out: an optimizer's or moving averages.
    converted: number of arrays converted from another type than float32.
    facts: what the file says of its network: 'image_size', if it is known.
  """

  source: str
  family: str
  modules: Modules
  names: Mapping[str, str] = dataclasses.field(default_factory=dict)
  omitted: int = 0
  converted: int = 0
  facts: Mapping[str, object] = dataclasses.field(default_factory=dict)

  def name_of(self, module: str, array: str) -> str:
    """Returns the name that an array has in the file, or would have."""
    name = f'{module}/{array}'
    if self.family == 'pytorch':
      name = f'{module}.{_PYTORCH.get(array, "weight")}'
    return self.names.get(f'{module}/{array}', name)


def size(modules: Modules, without: Iterable[str] = ()) -> int:
  """Returns the number of values in all modules but some."""
  return sum(
    array.size
    for name, module in modules.items()
    if name not in {*without}
    for array in module.values()
  )


def natural_key(name: str) -> list[str | int]:
  """Returns a sort key by which conv2d comes before conv2d_2 and conv2d_10."""
  parts = re.split(r'(\d+)', name)
  return [int(part) if part.isdigit() else part for part in parts]


def numbered(layers: Iterable[str]) -> dict[str, str]:
  """Numbers the layers that Keras numbers itself from 0 on.

  Their numbers go on from model to model that a process builds.

  Args:
    layers: names of all layers of a network.

  Returns:
    Name -> name with the new number, of those layers.
  """
  groups: dict[str, set[str]] = {}
  for layer in layers:
    match = re.fullmatch(r'(conv2d|batch_normalization)(_\d+)?', layer)
    if match:
      groups.setdefault(match[1], set()).add(layer)
  return {
    layer: f'{kind}_{number}' if number else kind
    for kind, group in groups.items()
    for number, layer in enumerate(sorted(group, key=natural_key))
  }


def from_pytorch(
  tensors: Mapping[str, np.ndarray],
) -> tuple[Modules, dict[str, str]]:
  """Groups a state dict by modules, with Keras' names and layouts of kernels.

  Args:
    tensors: name, such as 'layer1.0.bn1.running_mean' -> array.

  Returns:
    Modules, and the names in the state dict by path.
  """
  modules: Modules = {}
  names = {}
  norms = {
    name.rpartition('.')[0] for name in tensors if name.endswith('running_mean')
  }
  for name, array in tensors.items():
    module, _, kind = name.rpartition('.')
    if kind == 'num_batches_tracked':
      continue
    if module in norms:
      kind = {_PYTORCH[ours]: ours for ours in NORM}.get(kind, kind)
    elif kind == 'weight':
      kind, array = 'kernel', _keras_kernel(array)
    modules.setdefault(module, {})[kind] = array
    names[f'{module}/{kind}'] = name
  return modules, names


def _keras_kernel(array: np.ndarray) -> np.ndarray:
  """Converts [outputs, inputs, …] to […, inputs, outputs]."""
  if array.ndim < 2:
    return array
  return np.moveaxis(array, (1, 0), (-2, -1))
