"""The table of attention modules, and their options: 'cbam_block(ratio=16)'."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from errors import UserError
from nets.attention import (
  bam_block,
  cbam_block,
  coord_block,
  eca_block,
  ela_block,
  ema_block,
  gc_block,
  mlca_block,
  scsa_block,
  scse_block,
  se_block,
  simam_block,
  strip_block,
  triplet_block,
)
from nets.attention.attend import BLOCK, CLASS, CONV, INNER, LATER, STAGE
from registry import Adjustable, Table, parse_name, unknown
from tf_compat import tf

Gated: TypeAlias = 'tuple[tf.Tensor, tuple[tf.Tensor, ...]]'

BOTH = 'both'  # the module's default placement, and before the classifier
PLACEMENTS = (BLOCK, STAGE, CLASS, BOTH, LATER, INNER, CONV)


@dataclasses.dataclass(frozen=True)
class AttentionModule(Adjustable):
  """An entry of the table of attention modules.

  Attributes:
    name: value of --attention_module, and the variable scope.
    tag: short form for scopes such as Mixed_5b_CBAM.
    function: function(net, *, option=default, …) -> gated net, gates; the
      options' annotations define their valid values.
    options_of: options_of(shapes by variable name) -> the options that shapes
      reveal, with value None if no value fits; or None for another module.
    place: default placement, as in the paper: BLOCK or STAGE.
  """

  name: str
  tag: str
  function: Callable[..., Gated]
  options_of: Callable[[Mapping[str, Sequence[int]]], dict[str, Any] | None]
  place: str = BLOCK


@dataclasses.dataclass(frozen=True)
class Attention:
  """An attention module with options and placement; callable on a net."""

  kind: AttentionModule
  options: Mapping[str, Any]
  placement: str

  @property
  def name(self) -> str:
    return self.kind.name

  @property
  def tag(self) -> str:
    return self.kind.tag

  @property
  def places(self) -> frozenset[str]:
    """Kinds of the attention points where the module is inserted."""
    if self.placement == BOTH:
      return frozenset({self.kind.place, CLASS})
    return frozenset({self.placement})

  @property
  def spelling(self) -> tuple[str, str | None]:
    """The shortest --attention_module and --attention_placement."""
    default = self.placement == self.kind.place
    return str(self), None if default else self.placement

  def __call__(self, net: tf.Tensor) -> Gated:
    return self.kind.function(net, **self.options)

  def __str__(self) -> str:
    return self.kind.spell(self.options)


ATTENTION_MODULES = Table(
  'attention module',
  (
    AttentionModule('se_block', 'SE', se_block.se_block, se_block.options_of),
    AttentionModule(
      'cbam_block', 'CBAM', cbam_block.cbam_block, cbam_block.options_of
    ),
    AttentionModule(
      'bam_block', 'BAM', bam_block.bam_block, bam_block.options_of, STAGE
    ),
    AttentionModule(
      'eca_block', 'ECA', eca_block.eca_block, eca_block.options_of
    ),
    AttentionModule('gc_block', 'GC', gc_block.gc_block, gc_block.options_of),
    AttentionModule(
      'coord_block', 'COORD', coord_block.coord_block, coord_block.options_of
    ),
    AttentionModule(
      'simam_block', 'SIMAM', simam_block.simam_block, simam_block.options_of
    ),
    AttentionModule(
      'scse_block', 'SCSE', scse_block.scse_block, scse_block.options_of
    ),
    AttentionModule(
      'ema_block', 'EMA', ema_block.ema_block, ema_block.options_of
    ),
    AttentionModule(
      'triplet_block',
      'TRIPLET',
      triplet_block.triplet_block,
      triplet_block.options_of,
    ),
    AttentionModule(
      'ela_block', 'ELA', ela_block.ela_block, ela_block.options_of
    ),
    AttentionModule(
      'scsa_block', 'SCSA', scsa_block.scsa_block, scsa_block.options_of
    ),
    AttentionModule(
      'mlca_block', 'MLCA', mlca_block.mlca_block, mlca_block.options_of
    ),
    AttentionModule(
      'strip_block', 'STRIP', strip_block.strip_block, strip_block.options_of
    ),
  ),
)
OFF = (None, '', 'none')


def get_attention(
  text: str | None, placement: str | None = None
) -> Attention | None:
  """Returns the attention module of a flag value, or None for no attention.

  Args:
    text: a name, alone or with options: 'cbam_block(ratio=16)'; None, '' and
      'none' disable attention.
    placement: one of PLACEMENTS; None is the module's default.

  Returns:
    A callable attention(net) -> gated net, tuple of gates.

  Raises:
    UserError: if the name, an option, a value or the placement is unknown.
  """
  if placement not in (None, *PLACEMENTS):
    raise UserError(unknown('attention placement', placement, PLACEMENTS))
  text = text.strip() if text else text
  if text in OFF:
    return None
  name, options = parse_name(text)
  kind = ATTENTION_MODULES[name]
  return Attention(kind, kind.check(options), placement or kind.place)


def has_attention(shapes: Mapping[str, Sequence[int]]) -> bool:
  """Whether variables include those of an attention module; see `recognize`."""
  return any(
    kind.options_of(shapes) is not None for kind in ATTENTION_MODULES.values()
  )


def recognize(shapes: Mapping[str, Sequence[int]]) -> str | None:
  """Returns the --attention_module that a checkpoint was trained with.

  Args:
    shapes: shapes of the checkpoint's variables by name; these may include
      optimizer slots and moving averages.

  Returns:
    For example 'cbam_block(ratio=16)'; None if no module matches.
  """
  for kind in ATTENTION_MODULES.values():
    options = kind.options_of(shapes)
    if options is not None and None not in options.values():
      return kind.spell(options)
  return None
