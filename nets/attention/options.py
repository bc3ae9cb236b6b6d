"""Types of the modules' options, with the rules for their values."""

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from absl import logging

from registry import PositiveInt, Rule, is_int

DEFAULT_RATIO = 8


def is_kernel_size(value: Any) -> bool:
  """Whether a value is an odd positive int: a kernel needs a center."""
  return is_int(value) and value % 2 == 1 and value > 0


Ratio = PositiveInt
Dilation = PositiveInt
KernelSize = Annotated[int, Rule('an odd whole number from 1', is_kernel_size)]
Switch = Annotated[bool, Rule('True or False', lambda v: isinstance(v, bool))]


def is_number(value: Any) -> bool:
  """Whether a value is an int or a float."""
  return isinstance(value, int | float) and not isinstance(value, bool)


Epsilon = Annotated[
  float | None,
  Rule(
    "a number above 0, or None for the network's",
    lambda v: v is None or (is_number(v) and v > 0),
  ),
]


def some_of(*names: str) -> Rule:
  """Returns the rule for several of these: 'avg+max', or a tuple of names."""

  def parts(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
      return value.split('+')
    return value if isinstance(value, tuple | list) else ()

  def holds(value: Any) -> bool:
    valid = [part for part in parts(value) if part in names]
    return bool(valid) and len(parts(value)) == len(set(valid))

  return Rule(
    f'one or more of {", ".join(names)}, joined by +',
    holds,
    lambda value: '+'.join(parts(value)),
  )


def hidden_units(channels: int, ratio: int, least: int = 1) -> int:
  """max(least, C // ratio), the width of a gate's bottleneck."""
  if ratio > channels:
    _warn_of_ratio(ratio)
  return _width(channels, ratio, least)


@functools.cache
def _warn_of_ratio(ratio: int) -> None:
  logging.warning(
    'ratio=%d is more than the channels of a feature map, so its gate has as '
    'few hidden units as it can; %d or 16 is usual.',
    ratio,
    DEFAULT_RATIO,
  )


def _width(channels: int, ratio: int, least: int) -> int:
  return max(least, channels // ratio)


def find_ratio(
  kernels: Sequence[Sequence[int]], default: int = DEFAULT_RATIO, least: int = 1
) -> int | None:
  """Returns r with h = max(least, C // r) for all kernels [C, h], or None.

  If several ratios match, it is the default, or else the largest, which is the
  original one if that divides some C.
  """
  # A kernel of width `least` sets no upper bound: every larger ratio matches.
  bounds = [c // hidden for c, hidden in kernels if hidden > least]
  largest = min(bounds, default=max(channels for channels, _ in kernels))
  for ratio in (default, largest):
    if all(_width(c, ratio, least) == h for c, h in kernels):
      return ratio
  return None


def shapes_of(
  shapes: Mapping[str, Sequence[int]], suffix: str
) -> list[Sequence[int]]:
  """Returns the shapes of the variables whose name ends in these components."""
  return [
    shape for name, shape in shapes.items() if f'/{name}'.endswith(f'/{suffix}')
  ]
