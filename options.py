"""Options of the programs: typed, documented fields that check their values."""

import dataclasses
import math
import os
import typing
from collections.abc import Collection, Mapping
from typing import Any

from errors import UserError
from files import is_text
from registry import unknown

# How --help and the documentation group the flags.
GROUPS = ('basic', 'data', 'optimization', 'advanced', 'cluster')

# TensorFlow's numbers have 64 bits.
_LARGEST_INT = (1 << 63) - 1


def option(
  default: Any,
  meaning: str,
  *,
  group: str = 'basic',
  known: Collection[str] | None = None,
  lower: float | None = None,
  above: float | None = None,
  upper: float | None = None,
  structure: bool = False,
  path: bool = False,
) -> Any:
  """Defines a field of an options class.

  Args:
    default: the value when the flag is not given; None for "not set".
    meaning: one sentence for --help and the documentation.
    group: one of GROUPS.
    known: the names it accepts; None accepts any value.
    lower: the smallest value.
    above: an exclusive lower bound.
    upper: the largest value.
    structure: whether it shapes the variables or what they mean, so that a run
      cannot be resumed with another value.
    path: whether it is the path of a file or folder: ~ is expanded.
  """
  return dataclasses.field(
    default=default,
    metadata={
      'meaning': meaning,
      'group': group,
      'known': known,
      'lower': lower,
      'above': above,
      'upper': upper,
      'structure': structure,
      'path': path,
    },
  )


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
  """Raises UserError unless an option accepts the value."""
  if isinstance(value, str) and not is_text(value):
    raise UserError(f'--{name}={value!r}: must be UTF-8 text without NUL.')
  if isinstance(value, int) and abs(value) > _LARGEST_INT:
    raise UserError(f'--{name}={value}: must be at most {_LARGEST_INT}.')
  known = metadata['known']
  if known is not None and value not in known:
    raise UserError(unknown(f'--{name}', value, known))
  if isinstance(value, float) and not math.isfinite(value):
    raise UserError(f'--{name}={value}: must be a finite number.')
  if (lower := metadata['lower']) is not None and value < lower:
    raise UserError(f'--{name}={value}: must be at least {lower}.')
  if (above := metadata['above']) is not None and value <= above:
    raise UserError(f'--{name}={value}: must be more than {above}.')
  if (upper := metadata['upper']) is not None and value > upper:
    raise UserError(f'--{name}={value}: must be at most {upper}.')


def expand_path(path: str) -> str:
  """Expands ~, which shells leave alone after '--flag='."""
  return os.path.expanduser(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Base of all options classes: checks every value when it is created.

  In options that are paths, it also expands ~; numbers become floats where they
  may be fractions, as in a job.json with "weight_decay": 0.
  """

  def __post_init__(self) -> None:
    types = types_of(type(self))
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value is None:
        continue
      _check(field.name, value, field.metadata)
      if field.metadata['path']:
        object.__setattr__(self, field.name, expand_path(value))
      elif types[field.name] is float:
        object.__setattr__(self, field.name, float(value))


def kinds_of(options: type[Options]) -> dict[str, Any]:
  """Returns what files.read_json must find for these options, as far as set."""
  hints = typing.get_type_hints(options)
  return {f'{name}?': hint for name, hint in hints.items()}


def types_of(options: type[Options]) -> dict[str, type]:
  """Returns option name -> str, int, float or bool, in order of definition."""
  hints = typing.get_type_hints(options)
  return {
    name: next(t for t in (*typing.get_args(hint), hint) if t is not type(None))
    for name, hint in hints.items()
  }
