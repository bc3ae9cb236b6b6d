"""Reads files of PyTorch by its weights-only loader, which runs no code."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import types
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from errors import UserError

# A state dict inside a checkpoint of training.
_STATE_DICTS = 'state_dict', 'model', 'model_state_dict', 'net'

# Its weights-only loader takes names of harmless classes.
_OLDEST_TORCH = 2, 6


@dataclasses.dataclass(frozen=True)
class Content:
  """What a file holds.

  Attributes:
    state: name -> tensor of the network.
    beside: number of other tensors.
    architecture: name of the network by the file, or None.
  """

  state: Mapping[str, Any]
  beside: int
  architecture: str | None


def load(path: pathlib.Path) -> Content:
  """Loads a file.

  Raises:
    UserError: if PyTorch is not installed or too old, or refuses the file.
  """
  try:
    import torch
  except ImportError as error:
    raise UserError(
      f'{path} is a pickle, which only PyTorch reads: pip install torch, or '
      'where it is installed, save safetensors: safetensors.torch.save_file('
      "torch.load(path, weights_only=True), 'weights.safetensors')."
    ) from error
  version = tuple(map(int, re.findall(r'\d+', torch.__version__)[:2]))
  if version < _OLDEST_TORCH:
    raise UserError(
      f'PyTorch {torch.__version__} is installed, and reading {path} without '
      f'running code needs {".".join(map(str, _OLDEST_TORCH))} or newer.'
    )
  # timm keeps the flags of training beside the weights: an object of values.
  harmless = torch.serialization.safe_globals(
    [(types.SimpleNamespace, 'argparse.Namespace')]
  )
  try:
    with warnings.catch_warnings(), harmless:
      warnings.simplefilter('ignore')
      content = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # It documents no types.
    raise UserError(_refusal(path, str(error) or repr(error))) from error
  state = {
    name: tensor
    for name, tensor in state_dict(content).items()
    if isinstance(tensor, torch.Tensor)
  }
  architecture = content.get('arch') if isinstance(content, Mapping) else None
  return Content(
    state=state,
    beside=count(content, torch.Tensor) - len(state),
    architecture=architecture if isinstance(architecture, str) else None,
  )


def _refusal(path: pathlib.Path, problem: str) -> str:
  """Returns the message for what PyTorch says of a file."""
  needed = re.search(r'GLOBAL (\S+)', problem)
  if needed:
    return (
      f'{path} needs code besides weights ({needed[1]}), which is not run: save '
      "the network's state_dict() alone."
    )
  if 'TorchScript' in problem:
    return (
      f"{path} is a program of TorchScript: save the network's state_dict() "
      'alone.'
    )
  if 'Weights only' in problem:
    return f"{path} holds more than weights: save the network's state_dict()."
  first = re.split(r'[.\n]', problem)[0]
  return (
    f'{path} is not a file of weights of PyTorch, or its download was '
    f'interrupted: {first}.'
  )


def state_dict(content: Any) -> Mapping[str, Any]:
  """Returns the state dict in a checkpoint of training; {} without one."""
  for key in _STATE_DICTS:
    if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
      content = content[key]
  return content if isinstance(content, Mapping) else {}


def count(content: Any, kind: type) -> int:
  """Returns the number of tensors in mappings and lists."""
  if isinstance(content, Mapping):
    return sum(count(value, kind) for value in content.values())
  if isinstance(content, list | tuple):
    return sum(count(value, kind) for value in content)
  return int(isinstance(content, kind))


def unpacked_size(path: pathlib.Path) -> int:
  """Returns the number of bytes in a file, which may be a zip archive."""
  try:
    with zipfile.ZipFile(path) as archive:
      return sum(member.file_size for member in archive.infolist())
  except (OSError, ValueError, zipfile.BadZipFile):
    return path.stat().st_size


def num_bytes(state: Mapping[str, Any]) -> int:
  """Returns the size of all tensors, of which several may share their values."""
  return sum(
    tensor.numel() * tensor.element_size() for tensor in state.values()
  )


def array(path: pathlib.Path, name: str, tensor: Any) -> np.ndarray:
  """Converts a tensor of PyTorch, whose bfloat16 NumPy does not know.

  Raises:
    UserError: if the tensor is not dense, or of a type that NumPy does not know.
  """
  import ml_dtypes
  import torch

  problem = None
  if tensor.is_meta:
    problem = 'without values'
  elif tensor.is_quantized or tensor.layout != torch.strided:
    problem = 'quantized or sparse'
  elif tensor.dtype == torch.bfloat16:
    numbers = tensor.detach().contiguous().view(torch.int16).numpy()
    return numbers.view(ml_dtypes.bfloat16)
  else:
    try:
      return tensor.detach().contiguous().numpy()
    except TypeError:
      problem = f'of type {tensor.dtype}'
  raise UserError(
    f'{path}: {name} is {problem}. Save the weights as float32: '
    '{name: tensor.float() for name, tensor in model.state_dict().items()}.'
  )
