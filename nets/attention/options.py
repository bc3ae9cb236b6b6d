"""Types of a module's options, which say what values they take."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

DEFAULT_RATIO = 8


@dataclasses.dataclass(frozen=True)
class Rule:
  """What a value must be, in words and as a test."""

  text: str
  holds: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
  # True is an int to Python, but not to whoever writes ratio=True.
  return isinstance(value, int) and not isinstance(value, bool)


Ratio = Annotated[
  int, Rule('a whole number from 1', lambda v: _is_whole(v) and v >= 1)
]
KernelSize = Annotated[
  int,
  Rule(
    'an odd whole number from 1', lambda v: _is_whole(v) and v % 2 and v > 0
  ),
]


def hidden_units(channels: int, ratio: int) -> int:
  """max(1, C // ratio), the width of a gate's bottleneck."""
  return max(1, channels // ratio)


def find_ratio(kernels: Sequence[Sequence[int]]) -> int | None:
  """The ratio r with h = max(1, C // r) for all kernels of shape [C, h].

  Several may do: the default if it is one of them, else the largest, which is
  the true one wherever it divides some C.
  """
  # One unit bounds no ratio from above: any beyond C leaves one as well.
  bounds = [channels // hidden for channels, hidden in kernels if hidden > 1]
  largest = min(bounds, default=max(channels for channels, _ in kernels))
  for ratio in (DEFAULT_RATIO, largest):
    if all(hidden_units(c, ratio) == h for c, h in kernels):
      return ratio
  return None


def shapes_of(
  shapes: Mapping[str, Sequence[int]], suffix: str
) -> list[Sequence[int]]:
  """Shapes of the variables whose name ends in these components."""
  return [
    shape for name, shape in shapes.items() if f'/{name}'.endswith(f'/{suffix}')
  ]
