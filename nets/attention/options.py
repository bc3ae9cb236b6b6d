"""Types of a module's options, which say what values they take."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from registry import Rule, Whole, is_whole

DEFAULT_RATIO = 8


def is_kernel_size(value: Any) -> bool:
  """Whether it is an odd whole number from 1, so that a kernel has a middle."""
  return is_whole(value) and value % 2 == 1 and value > 0


Ratio = Dilation = Whole
KernelSize = Annotated[int, Rule('an odd whole number from 1', is_kernel_size)]
Switch = Annotated[bool, Rule('True or False', lambda v: isinstance(v, bool))]


def one_of(*values: Any) -> Rule:
  """The rule that a value is one of these."""
  return Rule(f'one of {", ".join(map(repr, values))}', lambda v: v in values)


def some_of(*names: str) -> Rule:
  """The rule for one or more of these: 'avg+max', or a tuple of them."""

  def parts(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
      return value.split('+')
    return value if isinstance(value, tuple | list) else ()

  def holds(value: Any) -> bool:
    known = [part for part in parts(value) if part in names]
    return bool(known) and len(parts(value)) == len(set(known))

  return Rule(
    f'one or more of {", ".join(names)}, joined by +',
    holds,
    lambda value: '+'.join(parts(value)),
  )


def hidden_units(channels: int, ratio: int, least: int = 1) -> int:
  """max(least, C // ratio), the width of a gate's bottleneck."""
  return max(least, channels // ratio)


def find_ratio(
  kernels: Sequence[Sequence[int]], default: int = DEFAULT_RATIO, least: int = 1
) -> int | None:
  """The ratio r with h = max(least, C // r) for all kernels of shape [C, h].

  Several may do: the default if it is one of them, else the largest, which is
  the true one wherever it divides some C.
  """
  # The least bounds no ratio from above: any larger one leaves as many.
  bounds = [c // hidden for c, hidden in kernels if hidden > least]
  largest = min(bounds, default=max(channels for channels, _ in kernels))
  for ratio in (default, largest):
    if all(hidden_units(c, ratio, least) == h for c, h in kernels):
      return ratio
  return None


def shapes_of(
  shapes: Mapping[str, Sequence[int]], suffix: str
) -> list[Sequence[int]]:
  """Shapes of the variables whose name ends in these components."""
  return [
    shape for name, shape in shapes.items() if f'/{name}'.endswith(f'/{suffix}')
  ]
