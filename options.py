"""Options of the programs: typed, documented fields that check their values."""

import dataclasses
import math
import typing
from collections.abc import Collection, Mapping
from typing import Any

from errors import UserError
from registry import unknown

# How --help and the documentation group the flags.
GROUPS = ('basic', 'data', 'optimization', 'advanced', 'cluster')


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
    structure: whether it shapes the variables, so that a run cannot be
      resumed with another value.
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
    },
  )


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
  """Raises UserError unless an option accepts the value."""
  if value is None:
    return
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Base of all options classes: checks every value when it is created."""

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      _check(field.name, getattr(self, field.name), field.metadata)


def types_of(options: type[Options]) -> dict[str, type]:
  """Returns option name -> str, int, float or bool, in order of definition."""
  hints = typing.get_type_hints(options)
  return {
    name: next(t for t in (*typing.get_args(hint), hint) if t is not type(None))
    for name, hint in hints.items()
  }
