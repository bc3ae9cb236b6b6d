"""Reads files of weights: Keras' .h5 and .keras, .safetensors, .pth.

Nothing in a file is run: HDF5 and safetensors hold arrays, and a pickle of
PyTorch is read by its weights-only loader.
"""

from __future__ import annotations

import json
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from errors import UserError
from weights import modules
from weights.modules import Modules, Weights

# Groups and prefixes of what is beside the weights.
_OMITTED = re.compile(
  r'(^|[./])(optimizer|optimizer_weights|optimizer_state|ema|model_ema|'
  r'state_dict_ema|metrics|seed_generators?)([./]|$)'
)
# An old Keras wrote 'block1_conv1_W_1:0'.
_OLD_KERAS = {'W': 'kernel', 'b': 'bias'}
_KERAS_ARRAYS = {
  'kernel', 'bias', 'gamma', 'beta', 'moving_mean', 'moving_variance',
  'depthwise_kernel', 'pointwise_kernel',
}  # fmt: skip
# A state dict inside a checkpoint of training, and prefixes of wrapped modules.
_STATE_DICTS = 'state_dict', 'model', 'model_state_dict', 'net'
_WRAPPERS = re.compile(r'^(module\.|_orig_mod\.|model\.)+')


def read(path: pathlib.Path) -> Weights:
  """Reads a file of weights.

  Args:
    path: file whose ending tells its format.

  Raises:
    UserError: if the file is missing, of another format, damaged, or needs a
      package that is not installed.
  """
  if not path.is_file():
    raise UserError(f'No file {path}.')
  for ending, reader in _READERS.items():
    if path.name.endswith(ending):
      return reader(path)
  raise UserError(
    f'{path}: weights are read from files that end in {", ".join(_READERS)}.'
  )


def _read_keras(path: pathlib.Path) -> Weights:
  """Reads a .h5, .weights.h5 or .keras file."""
  import h5py

  facts: dict[str, object] = {}
  try:
    if path.suffix == '.keras':
      with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read('config.json'))
        with (
          archive.open('model.weights.h5') as file,
          h5py.File(file, 'r') as content,
        ):
          arrays, omitted = _datasets(content)
    else:
      with h5py.File(path, 'r') as content:
        config = json.loads(content.attrs.get('model_config', 'null'))
        arrays, omitted = _datasets(content)
  except (
    OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile,
  ) as error:  # fmt: skip
    raise _damaged(path, 'a Keras file', error) from error
  facts.update(_keras_facts(config))
  result: Modules = {}
  names = {}
  numbered = _numbered([layer for (layer, _, _), _ in arrays])
  for (layer, kind, name), array in arrays:
    layer = numbered.get(layer, layer)
    result.setdefault(layer, {})[kind] = array
    names[f'{layer}/{kind}'] = name
  return _weights(path, 'keras', result, names, omitted, facts)


def _datasets(
  content: Any,
) -> tuple[list[tuple[tuple[str, str, str], np.ndarray]], int]:
  """Returns ((layer, kind, name), array) of each weight, and how many others."""
  arrays, omitted = [], 0
  for dataset in _walk(content):
    if _OMITTED.search(dataset.name):
      omitted += 1
      continue
    _check_size(dataset)
    parent = dataset.parent
    if parent.name.endswith('/vars'):
      # Keras 3 numbers the arrays of a layer, and keeps its name beside them.
      layer = str(parent.attrs.get('name', parent.parent.name))
      kinds = _numbered_kinds([parent[key].shape for key in sorted(parent)])
      kind = kinds[int(pathlib.PurePosixPath(dataset.name).name)]
    else:
      layer, kind = _layer_and_kind(dataset.name)
    if kind not in _KERAS_ARRAYS:
      omitted += 1
      continue
    arrays.append(((layer, kind, dataset.name), np.asarray(dataset)))
  return arrays, omitted


def _numbered(layers: Iterable[str]) -> dict[str, str]:
  """Numbers the layers that Keras numbers itself from 0 on.

  Their numbers go on from model to model that a process builds.
  """
  groups: dict[str, set[str]] = {}
  for layer in layers:
    match = re.fullmatch(r'(conv2d|batch_normalization)(_\d+)?', layer)
    if match:
      groups.setdefault(match[1], set()).add(layer)
  return {
    layer: f'{kind}_{number}' if number else kind
    for kind, group in groups.items()
    for number, layer in enumerate(sorted(group, key=modules.natural_key))
  }


def _walk(group: Any) -> Iterator[Any]:
  """Yields the arrays of a group and its groups, but no link to another file."""
  import h5py

  for name in group:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
      raise ValueError(f'{name} is a link, which weights do not have')
    if isinstance(group[name], h5py.Group):
      yield from _walk(group[name])
    else:
      yield group[name]


def _check_size(dataset: Any) -> None:
  """Raises ValueError if an array claims far more bytes than are stored."""
  stored = dataset.id.get_storage_size()
  if dataset.nbytes > 1000 * max(stored, 1 << 12):
    raise ValueError(
      f'{dataset.name} claims {dataset.nbytes} bytes, but has {stored}'
    )


def _numbered_kinds(shapes: list[tuple[int, ...]]) -> list[str]:
  """Returns what the arrays of a layer are, which Keras 3 only numbers."""
  ranks = [len(shape) for shape in shapes]
  if ranks == [1] * 4:
    return [*modules.NORM]
  if ranks == [1] * 3:
    return [*modules.NORM[1:]]  # without scale
  if ranks[:2] == [4, 4]:
    return ['depthwise_kernel', 'pointwise_kernel', 'bias'][: len(ranks)]
  if ranks in ([4], [4, 1], [2], [2, 1]):
    return ['kernel', 'bias'][: len(ranks)]
  return ['unknown'] * len(ranks)


def _layer_and_kind(name: str) -> tuple[str, str]:
  """Splits '/model_weights/conv1/conv1/kernel:0' into conv1 and kernel."""
  *groups, last = name.strip('/').split('/')
  last = last.partition(':')[0]
  layer = groups[-1] if groups else ''
  old = re.fullmatch(r'(.+)_([Wb])(_\d+)?', last)
  if old:
    return old[1], _OLD_KERAS[old[2]]
  return layer, re.sub(r'_\d+$', '', last)


def _keras_facts(config: Any) -> dict[str, object]:
  """Returns what a model's configuration says of name and image size."""
  facts: dict[str, object] = {}
  layers = (config or {}).get('config', {}).get('layers', [])
  for layer in layers:
    settings = layer.get('config', {})
    shape = settings.get('batch_shape') or settings.get('batch_input_shape')
    is_image = layer.get('class_name') == 'InputLayer' and len(shape or ()) == 4
    if is_image and shape[1]:
      facts['image_size'] = shape[1]
    if layer.get('class_name') in ('Functional', 'Model'):
      facts['name'] = settings.get('name')
  if layers:
    facts.setdefault('name', config['config'].get('name'))
  return facts


def _read_safetensors(path: pathlib.Path) -> Weights:
  """Reads a .safetensors file; bfloat16 becomes float32."""
  import safetensors

  try:
    tensors = dict(_safetensors(path))
  except (safetensors.SafetensorError, OSError, ValueError) as error:
    raise _damaged(path, 'a safetensors file', error) from error
  return _pytorch(path, tensors)


def _safetensors(path: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
  """Yields the name and the array of each tensor."""
  import ml_dtypes
  import safetensors

  types = {
    'F64': np.float64, 'F32': np.float32, 'F16': np.float16,
    'BF16': ml_dtypes.bfloat16, 'I64': np.int64, 'I32': np.int32,
    'I16': np.int16, 'I8': np.int8, 'U8': np.uint8, 'BOOL': np.bool_,
  }  # fmt: skip
  # safetensors' own reader for NumPy has no bfloat16.
  for name, tensor in safetensors.deserialize(path.read_bytes()):
    array = np.frombuffer(tensor['data'], types[tensor['dtype']])
    yield name, array.reshape(tensor['shape'])


def _read_torch(path: pathlib.Path) -> Weights:
  """Reads a .pth or .pt file by PyTorch's weights-only loader."""
  try:
    import torch
  except ImportError as error:
    raise UserError(
      f'{path} is a pickle, which only PyTorch reads: pip install torch, or '
      'where it is installed, save safetensors: safetensors.torch.save_file('
      "torch.load(path, weights_only=True), 'weights.safetensors')."
    ) from error
  try:
    content = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # It documents no types.
    problem = str(error).splitlines()[0]
    raise UserError(
      f'{path} holds more than weights, or is damaged: PyTorch refuses it '
      f'({problem}). Save its state_dict() alone.'
    ) from error
  for key in _STATE_DICTS:
    if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
      content = content[key]
  tensors = {
    name: tensor.float().numpy()
    if tensor.is_floating_point()
    else tensor.numpy()
    for name, tensor in content.items()
    if isinstance(tensor, torch.Tensor)
  }
  return _pytorch(path, tensors)


def _pytorch(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> Weights:
  """Groups the tensors of a state dict."""
  kept = {
    _WRAPPERS.sub('', name): array
    for name, array in tensors.items()
    if not _OMITTED.search(name)
  }
  result, names = modules.from_pytorch(kept)
  return _weights(path, 'pytorch', result, names, len(tensors) - len(kept), {})


def _weights(
  path: pathlib.Path,
  family: str,
  content: Modules,
  names: Mapping[str, str],
  omitted: int,
  facts: Mapping[str, object],
) -> Weights:
  """Returns weights in float32; raises UserError if there are none."""
  converted = 0
  for name, module in content.items():
    for kind, array in module.items():
      if array.dtype != np.float32:
        converted += 1
        module[kind] = array.astype(np.float32)
      if not np.isfinite(module[kind]).all():
        stored = names.get(f'{name}/{kind}', f'{name}/{kind}')
        raise UserError(f'{path}: {stored} has values that are not finite.')
  if not content:
    raise UserError(f'{path} holds no weights.')
  return Weights(str(path), family, content, names, omitted, converted, facts)


def _damaged(path: pathlib.Path, kind: str, error: Exception) -> UserError:
  problem = (str(error).splitlines() or [type(error).__name__])[0]
  return UserError(
    f'{path} is not {kind}, or its download was interrupted: {problem}.'
  )


_READERS: dict[str, Callable[[pathlib.Path], Weights]] = {
  '.h5': _read_keras,
  '.keras': _read_keras,
  '.safetensors': _read_safetensors,
  '.pth': _read_torch,
  '.pt': _read_torch,
}
ENDINGS = tuple(_READERS)
