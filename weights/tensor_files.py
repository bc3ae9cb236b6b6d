"""Reads files of weights: Keras' .h5 and .keras, .safetensors, .pth.

Nothing in a file is run: HDF5 and safetensors hold arrays, and a pickle of
PyTorch is read by its weights-only loader.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from errors import UserError
from weights import modules, torch_files
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
# Prefixes of wrapped modules.
_WRAPPERS = re.compile(r'^(module\.|_orig_mod\.|model\.)+')
# The published DenseNets have modules that torchvision renamed since.
_OLD_DENSENET = re.compile(r'(denselayer\d+\.(?:norm|conv))\.(?=\d)')
# One of several files, as the Hugging Face hub divides large models.
_SHARD = re.compile(r'-\d+-of-\d+\.safetensors$')
# The file's bytes, the arrays, and the network's variables.
_COPIES = 3
_MAX_CONFIG_BYTES = 64 << 20


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
  if _SHARD.search(path.name):
    raise UserError(
      f'{path} is one of several files of a model: join them into one, by '
      'safetensors.numpy.load_file and save_file.'
    )
  for ending, reader in _READERS.items():
    if path.name.endswith(ending):
      return reader(path)
  raise UserError(
    f'{path}: weights are read from files that end in {", ".join(_READERS)}.'
  )


def check_memory(source: str | pathlib.Path, num_bytes: int) -> None:
  """Raises UserError if arrays are too large to be converted in memory.

  Args:
    source: what to call the arrays' file in the message.
    num_bytes: size of all arrays.
  """
  memory = _available_memory()
  if _COPIES * num_bytes > memory:
    raise UserError(
      f'{source} holds {num_bytes >> 20} MB of arrays, for which '
      f'{_COPIES * num_bytes >> 20} MB of memory are needed and '
      f'{memory >> 20} MB are available: import it on a larger machine, or save '
      'the weights alone.'
    )


def _available_memory() -> int:
  """Returns the memory that programs may still take, in bytes."""
  try:
    text = pathlib.Path('/proc/meminfo').read_text(encoding='ascii')
    return int(text.partition('MemAvailable:')[2].split()[0]) << 10
  except (OSError, IndexError, ValueError):
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def _read_keras(path: pathlib.Path) -> Weights:
  """Reads a .h5, .weights.h5 or .keras file, whatever its ending is."""
  import h5py

  try:
    if _is_zip(path):
      with zipfile.ZipFile(path) as archive:
        if archive.getinfo('config.json').file_size > _MAX_CONFIG_BYTES:
          raise ValueError('its config.json is too large')
        config = json.loads(archive.read('config.json'))
        with (
          archive.open('model.weights.h5') as file,
          h5py.File(file, 'r') as content,
        ):
          arrays, omitted = _arrays(path, content)
    else:
      with h5py.File(path, 'r') as content:
        config = json.loads(content.attrs.get('model_config', 'null'))
        arrays, omitted = _arrays(path, content)
  except (
    OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
  ) as error:  # fmt: skip
    raise _damaged(path, 'a Keras file', error) from error
  result: Modules = {}
  names: dict[str, str] = {}
  numbered = modules.numbered(layer for (layer, _, _), _ in arrays)
  for (layer, kind, name), array in arrays:
    layer = numbered.get(layer, layer)
    if kind in result.setdefault(layer, {}):
      raise _ambiguous(path, names[f'{layer}/{kind}'], name)
    result[layer][kind] = array
    names[f'{layer}/{kind}'] = name
  facts = _keras_facts(config)
  return _weights(path, 'keras', result, names, omitted, facts)


def _is_zip(path: pathlib.Path) -> bool:
  """Whether a file starts as a zip archive, which .keras files are."""
  with path.open('rb') as file:
    return file.read(4) == b'PK\x03\x04'


def _arrays(
  path: pathlib.Path, content: Any
) -> tuple[list[tuple[tuple[str, str, str], np.ndarray]], int]:
  """Returns ((layer, kind, name), array) of each weight, and how many others."""
  arrays, omitted, num_bytes = [], 0, 0
  for dataset in _walk(content):
    if _OMITTED.search(dataset.name):
      omitted += 1
      continue
    _check_stored(dataset)
    num_bytes += dataset.nbytes
    check_memory(path, num_bytes)
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


def _walk(group: Any) -> Iterator[Any]:
  """Yields the arrays of a group and its groups, but no link to another file."""
  import h5py

  for name in group:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
      raise ValueError(f'{name} is a link, which weights do not have')
    if isinstance(group[name], h5py.Group):
      yield from _walk(group[name])
    elif isinstance(group[name], h5py.Dataset):
      yield group[name]


def _check_stored(dataset: Any) -> None:
  """Raises ValueError unless a file has the numbers that an array claims."""
  if dataset.dtype.kind not in 'fiu' or dataset.shape is None:
    raise ValueError(f'{dataset.name} is not an array of numbers')
  if dataset.external or dataset.is_virtual:
    raise ValueError(f'{dataset.name} is stored in another file')
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
  """Returns what a model's configuration says of the size of its images."""
  for layer in _entry(_entry(config, 'config'), 'layers') or ():
    settings = _entry(layer, 'config')
    shape = _entry(settings, 'batch_shape') or _entry(
      settings, 'batch_input_shape'
    )
    is_input = _entry(layer, 'class_name') == 'InputLayer'
    if not is_input or not isinstance(shape, list) or len(shape) != 4:
      continue
    height, width = shape[1:3]
    if isinstance(height, int) and height == width:
      return {'image_size': height}
  return {}


def _entry(content: Any, key: str) -> Any:
  """Returns an entry of JSON that may be of another kind, or None."""
  return content.get(key) if isinstance(content, dict) else None


def _read_safetensors(path: pathlib.Path) -> Weights:
  """Reads a .safetensors file; bfloat16 becomes float32."""
  import safetensors

  check_memory(path, path.stat().st_size)
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
    if tensor['dtype'] not in types:
      raise ValueError(
        f'{name} is of type {tensor["dtype"]}, not of {", ".join(types)}'
      )
    array = np.frombuffer(tensor['data'], types[tensor['dtype']])
    yield name, array.reshape(tensor['shape'])


def _read_torch(path: pathlib.Path) -> Weights:
  """Reads a .pth or .pt file by PyTorch's weights-only loader."""
  check_memory(path, torch_files.unpacked_size(path))
  content = torch_files.load(path)
  check_memory(path, torch_files.num_bytes(content.state))
  tensors = {
    name: torch_files.array(path, name, tensor)
    for name, tensor in content.state.items()
  }
  weights = _pytorch(path, tensors, content.beside)
  if content.architecture is None:
    return weights
  facts = {'architecture': content.architecture}
  return dataclasses.replace(weights, facts=facts)


def _pytorch(
  path: pathlib.Path, tensors: Mapping[str, np.ndarray], beside: int = 0
) -> Weights:
  """Groups the tensors of a state dict, beside which others were left out."""
  originals: dict[str, str] = {}
  for name in tensors:
    if _OMITTED.search(name):
      continue
    bare = _OLD_DENSENET.sub(r'\1', _WRAPPERS.sub('', name))
    if bare in originals:
      raise _ambiguous(path, originals[bare], name)
    originals[bare] = name
  kept = {bare: tensors[name] for bare, name in originals.items()}
  result, names = modules.from_pytorch(kept)
  omitted = len(tensors) - len(kept) + beside
  return _weights(path, 'pytorch', result, names, omitted, {})


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
      stored = names.get(f'{name}/{kind}', f'{name}/{kind}')
      if array.dtype.kind in 'biu':
        raise UserError(
          f'{path}: {stored} is of {array.dtype}, as in a quantized network: '
          'take weights of floating-point numbers.'
        )
      if array.dtype != np.float32:
        converted += 1
        module[kind] = array.astype(np.float32)
      if not np.isfinite(module[kind]).all():
        raise UserError(f'{path}: {stored} has values that are not finite.')
  if not content:
    raise UserError(f'{path} holds no weights.')
  return Weights(str(path), family, content, names, omitted, converted, facts)


def _ambiguous(path: pathlib.Path, name: str, other: str) -> UserError:
  return UserError(
    f'{path} has {name} and {other}, which may be the same layer: save the '
    'weights of one network alone.'
  )


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
  '.pth.tar': _read_torch,
  '.pt': _read_torch,
}
ENDINGS = tuple(_READERS)
