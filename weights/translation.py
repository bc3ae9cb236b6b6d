"""Computes the values of a network's variables from other projects' weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from errors import UserError
from nets import nets_factory
from tf_compat import slim, tf
from weights import modules
from weights.architectures import Architecture
from weights.layer_names import NORM
from weights.modules import Weights

# Ours -> theirs.
_NORM_ARRAYS = {name: name for name in modules.NORM}
_ARRAYS = {
  'weights': 'kernel',
  'kernel': 'kernel',
  'biases': 'bias',
  'bias': 'bias',
  'depthwise_weights': 'depthwise_kernel',
  'pointwise_weights': 'pointwise_kernel',
  **_NORM_ARRAYS,
}
_KERNELS = 'weights', 'kernel', 'depthwise_weights', 'pointwise_weights'
_MOST_DIFFERENCES = 3


class MisfitError(UserError):
  """Says that weights are not those of a network.

  Attributes:
    num_differences: number of arrays that differ.
  """

  def __init__(self, message: str, num_differences: int):
    super().__init__(message)
    self.num_differences = num_differences


def num_differences(error: UserError) -> int:
  """Returns how many arrays an error says to differ; 0 for another error."""
  return error.num_differences if isinstance(error, MisfitError) else 0


class Variable(NamedTuple):
  """A variable of a network.

  Attributes:
    name: its full name.
    root: scope of the network, with a slash, or ''.
    scope: scope of the layer below `root`.
    leaf: its own name.
    shape: its shape.
  """

  name: str
  root: str
  scope: str
  leaf: str
  shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Network:
  """The variables of a network.

  Attributes:
    variables: in order of creation, with the auxiliary classifiers'.
    initial: name -> initial value of an auxiliary classifier's variables.
    epsilons: scope of a norm -> what it adds to the variance.
  """

  variables: Sequence[Variable]
  initial: Mapping[str, np.ndarray]
  epsilons: Mapping[str, float]


def describe(
  network: str,
  num_classes: int,
  image_size: int | None = None,
  attention: str | None = None,
  padding: str = 'same',
) -> Network:
  """Builds a network for training, and returns its variables.

  Args:
    network: its name.
    num_classes: width of the logits.
    image_size: height and width of the images, pixels, on which the variables
      of an auxiliary classifier depend; None for the network's default.
    attention: attention module, or None.
    padding: how strided layers pad, one of nets.layers.PADDINGS.
  """
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    network_fn = nets_factory.get_network_fn(
      network,
      num_classes,
      is_training=True,
      attention_module=attention,
      padding=padding,
    )
    size = image_size or network_fn.default_image_size
    channels = nets_factory.NETWORKS[network].channels or 3
    network_fn(tf.placeholder(tf.float32, [2, size, size, channels]))
    model = slim.get_model_variables()
    roots = {v.op.name.split('/')[0] for v in model}
    root = f'{roots.pop()}/' if len(roots) == 1 else ''
    variables = [
      Variable(
        v.op.name,
        root,
        v.op.name.removeprefix(root).rpartition('/')[0],
        v.op.name.rpartition('/')[2],
        tuple(v.shape.as_list()),
      )
      for v in model
    ]
    auxiliary = [
      v
      for v, variable in zip(model, variables, strict=True)
      if nets_factory.is_auxiliary(variable.name)
    ]
    with tf.Session() as session:
      session.run(tf.variables_initializer(auxiliary))
      initial = {v.op.name: session.run(v) for v in auxiliary}
    return Network(variables, initial, _epsilons(graph, variables))


def _epsilons(
  graph: tf.Graph, variables: Sequence[Variable]
) -> dict[str, float]:
  """Returns the epsilon of each fused batch norm by its variables' scope."""
  by_gamma = {}
  for op in graph.get_operations():
    if op.type == 'FusedBatchNormV3':
      # Inputs are net, gamma, beta; gamma is a constant where there is none.
      beta = op.inputs[2].op
      while beta.inputs:
        beta = beta.inputs[0].op
      by_gamma[beta.name.rpartition('/')[0]] = op.get_attr('epsilon')
  return {
    v.scope: by_gamma.get(v.root + v.scope, 1e-3)
    for v in variables
    if v.leaf == 'moving_variance'
  }


def translate(
  weights: Weights, architecture: Architecture, network: Network
) -> dict[str, np.ndarray]:
  """Returns the value of each variable of the network.

  Args:
    weights: of the other project.
    architecture: how its layers are called and computed.
    network: the network's variables.

  Raises:
    UserError: if an array is missing, left over or of another shape.
  """
  return _Translation(weights, architecture, network).values()


class _Translation:
  """One translation, which keeps account of the arrays used."""

  def __init__(
    self, weights: Weights, architecture: Architecture, network: Network
  ):
    self._weights = weights
    self._architecture = architecture
    self._network = network
    scopes = list(dict.fromkeys(v.scope for v in network.variables))
    self._names = architecture.layers(scopes)
    # Norms of a network have the same arrays: all have gamma, or none has.
    self._norm_kinds = {
      kind
      for module in weights.modules.values()
      if 'moving_mean' in module
      for kind in modules.NORM
      if kind in module
    }
    self._used: set[tuple[str, str]] = set()
    self._differences: list[str] = []

  def values(self) -> dict[str, np.ndarray]:
    """Returns name -> value; raises UserError if the weights do not fit."""
    result = {}
    for variable in self._network.variables:
      value = self._value(variable)
      if value is not None:
        result[variable.name] = np.ascontiguousarray(value, np.float32)
    self._differences += [
      f'{self._weights.name_of(module, kind)} is left over'
      for module, arrays in self._weights.modules.items()
      for kind in arrays
      if (module, kind) not in self._used and not is_ignored(module)
    ]
    if self._differences:
      self._refuse()
    if self._architecture.bgr:
      _reverse_channels(result, self._network)
    return result

  def _refuse(self) -> None:
    count = len(self._differences)
    first = '; '.join(self._differences[:_MOST_DIFFERENCES])
    more = f' (and {count - _MOST_DIFFERENCES} more)'
    raise MisfitError(
      f'{self._weights.source} does not fit {self._architecture.network}, the '
      f'nearest network ({self._architecture.name}): {first}'
      + (more if count > _MOST_DIFFERENCES else '')
      + '.',
      count,
    )

  def _value(self, variable: Variable) -> np.ndarray | None:
    """Returns a variable's value; None, with a difference noted, if missing."""
    if (
      nets_factory.is_auxiliary(variable.name)
      and variable.scope not in self._names
    ):
      return self._network.initial[variable.name]
    if variable.leaf in _NORM_ARRAYS:
      return self._norm_value(variable)
    array = self._layer_array(variable.scope, variable.leaf)
    if array is None:
      self._differences.append(
        f'{self._wanted(variable.scope, variable.leaf)} is missing'
      )
      return None
    if variable.leaf in _KERNELS:
      array = _fit_kernel(array, variable.shape, self._weights.family)
    if array.shape != variable.shape:
      self._differences.append(
        f'{self._wanted(variable.scope, variable.leaf)} is '
        f'{list(array.shape)}, not {list(variable.shape)}'
      )
      return None
    return array * self._kernel_scale(variable)

  def _norm_value(self, variable: Variable) -> np.ndarray | None:
    """Returns a norm's array, for our epsilon, without gamma if ours has none."""
    arrays = self._norm_arrays(variable.scope)
    differences = self._norm_differences(variable.scope, arrays, variable.shape)
    if differences:
      # Every norm has a variance, so that each difference is noted once.
      if variable.leaf == 'moving_variance':
        self._differences += differences
      return None
    mean, variance = arrays['moving_mean'], arrays['moving_variance']
    gamma = arrays.get('gamma', np.ones_like(mean))
    gamma = gamma * self._epsilon_ratio(variable.scope, variance)
    has_gamma = self._has(variable.scope, 'gamma')
    mean = mean - arrays.get('bias', 0)
    if variable.leaf == 'gamma':
      return gamma
    if variable.leaf == 'beta':
      return arrays.get('beta', np.zeros_like(mean))
    if variable.leaf == 'moving_variance':
      return variance
    return mean if has_gamma else mean * gamma

  def _norm_arrays(self, scope: str) -> dict[str, np.ndarray]:
    """Returns a norm's arrays by kind; 'bias' is that of the layer before it."""
    arrays = {kind: self._layer_array(scope, kind) for kind in _NORM_ARRAYS}
    if scope.endswith(NORM):
      arrays['bias'] = self._layer_array(scope.removesuffix(NORM), 'bias')
    return {kind: array for kind, array in arrays.items() if array is not None}

  def _norm_differences(
    self, scope: str, arrays: Mapping[str, np.ndarray], shape: tuple[int, ...]
  ) -> list[str]:
    """Returns which arrays of a norm are missing or of another shape."""
    wanted = self._norm_kinds | {'moving_mean', 'moving_variance'}
    differences = [
      f'{self._wanted(scope, kind)} is missing'
      for kind in modules.NORM
      if kind in wanted and kind not in arrays
    ]
    for kind, array in arrays.items():
      owner = scope.removesuffix(NORM) if kind == 'bias' else scope
      if array.shape != shape:
        differences.append(
          f'{self._wanted(owner, kind)} is {list(array.shape)}, not {list(shape)}'
        )
    return differences

  def _kernel_scale(self, variable: Variable) -> float | np.ndarray:
    """Returns the factor by which a kernel makes up for what ours lacks."""
    if variable.leaf not in _KERNELS:
      return 1.0
    factor = self._kernel_factor(variable.scope)
    norm = variable.scope + NORM
    if norm not in self._network.epsilons or self._has(norm, 'gamma'):
      return factor
    # Its norm has no gamma.
    arrays = self._norm_arrays(norm)
    if self._norm_differences(norm, arrays, variable.shape[-1:]):
      return factor
    scale = self._epsilon_ratio(norm, arrays['moving_variance']) * factor
    return arrays.get('gamma', 1) * scale

  def _kernel_factor(self, scope: str) -> float:
    """Returns the architecture's factor, where the layer follows a gate."""
    before = scope.rpartition('/')[0] + '/squeeze_excite/Conv'
    for pattern, factor in self._architecture.kernel_factors.items():
      if re.fullmatch(pattern, scope) and before in self._names:
        return factor
    return 1.0

  def _epsilon_ratio(self, scope: str, variance: np.ndarray) -> np.ndarray:
    """√((σ² + ours) / (σ² + theirs)), by which gamma makes up for epsilon."""
    ours = self._network.epsilons[scope]
    variance = variance.astype(np.float64)
    return np.sqrt((variance + ours) / (variance + self._architecture.epsilon))

  def _has(self, scope: str, leaf: str) -> bool:
    return any(
      v.scope == scope and v.leaf == leaf for v in self._network.variables
    )

  def _layer_array(self, scope: str, leaf: str) -> np.ndarray | None:
    """Returns the array of a layer of theirs, which now counts as used."""
    module = self._names.get(scope)
    if module is None:
      return None
    kind = _ARRAYS[leaf]
    part = kind.removesuffix('_kernel')
    # timm makes a module of each half of a separable convolution.
    for name, array in (
      (module, kind),
      (module, 'kernel' if part == 'depthwise' else kind),
      (f'{module}.{part}_conv2d', 'kernel'),
    ):
      value = self._weights.modules.get(name, {}).get(array)
      if value is not None:
        self._used.add((name, array))
        return value
    return None

  def _wanted(self, scope: str, leaf: str) -> str:
    """Returns the name in the file of what a variable needs."""
    module = self._names.get(scope)
    if module is None:
      return f'what {scope}/{leaf} needs'
    return self._weights.name_of(module, _ARRAYS[leaf])


def is_ignored(module: str) -> bool:
  """Whether a layer of theirs is no part of the network that classifies."""
  return module.startswith('AuxLogits')


def _fit_kernel(
  array: np.ndarray, shape: Sequence[int], family: str
) -> np.ndarray:
  """Returns a kernel in our shape, if it is another form of the same layer.

  A fully connected layer is a convolution of the full map, which Keras flattens
  as [H, W, C] and PyTorch as [C, H, W].
  """
  if array.size != np.prod(shape):
    return array
  if array.ndim == 2 and len(shape) == 4 and array.shape[1] == shape[3]:
    if family == 'pytorch':
      height, width, inputs, outputs = shape
      array = array.reshape(inputs, height, width, outputs)
      return array.transpose(1, 2, 0, 3)
    return array.reshape(shape)
  if array.ndim == 4 and len(shape) == 4 and array.shape[:2] == shape[:2]:
    # [H, W, 1, C] and [H, W, C, 1] are the same depthwise kernel.
    is_depthwise = 1 in array.shape[2:] and 1 in shape[2:]
    if is_depthwise:
      return array.reshape(shape)
  if array.ndim == 4 and array.shape[:2] == (1, 1) and len(shape) == 2:
    return array.reshape(shape)
  return array


def _reverse_channels(values: dict[str, np.ndarray], network: Network) -> None:
  """Turns a first kernel for blue, green, red into one for red, green, blue."""
  first = network.variables[0].name
  values[first] = np.ascontiguousarray(values[first][:, :, ::-1])
