"""Every attention module by name, and its options: 'cbam_block(ratio=16)'."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from errors import UserError
from nets.attention import (
  bam_block,
  cbam_block,
  coord_block,
  eca_block,
  gc_block,
  scse_block,
  se_block,
  simam_block,
)
from nets.attention.attend import BLOCK, CLASS, STAGE
from registry import Adjustable, Table, parse_name, unknown
from tf_compat import tf

Gated = tuple[tf.Tensor, tuple[tf.Tensor, ...]]

BOTH = 'both'  # where the kind belongs, and before the classifier
PLACEMENTS = (BLOCK, STAGE, CLASS, BOTH)


@dataclasses.dataclass(frozen=True)
class AttentionModule(Adjustable):
  """One kind of attention.

  Attributes:
    name: what --attention_module says, and its variable scope.
    tag: short form for scopes such as Mixed_5b_CBAM.
    function: function(net, *, option=default, …) -> gated net, its gates; the
      options' annotations say what values they take.
    options_of: options_of(shapes by variable name) -> the options that made
      them, or None where they are of another kind.
    place: where its paper puts it, BLOCK or STAGE.
  """

  name: str
  tag: str
  function: Callable[..., Gated]
  options_of: Callable[[Mapping[str, Sequence[int]]], dict[str, Any] | None]
  place: str = BLOCK


@dataclasses.dataclass(frozen=True)
class Attention:
  """A kind of attention, its options and placement chosen: attention(net)."""

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
    """The kinds of points where it enters a network."""
    if self.placement == BOTH:
      return frozenset({self.kind.place, CLASS})
    return frozenset({self.placement})

  @property
  def spelling(self) -> tuple[str, str | None]:
    """The shortest --attention_module and --attention_placement for it."""
    own = self.placement == self.kind.place
    return str(self), None if own else self.placement

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
  ),
)
OFF = (None, '', 'none')


def get_attention(
  text: str | None, placement: str | None = None
) -> Attention | None:
  """The module that a flag value names, or None for no attention.

  Args:
    text: a name, alone or with options: 'cbam_block(ratio=16)'; None, '' and
      'none' mean off.
    placement: one of PLACEMENTS; None is the kind's own place.

  Returns:
    A callable attention(net) -> gated net, tuple of gates.

  Raises:
    UserError: for an unknown name, option, value or placement.
  """
  if placement not in (None, *PLACEMENTS):
    raise UserError(unknown('attention placement', placement, PLACEMENTS))
  text = text.strip() if text else text
  if text in OFF:
    return None
  name, options = parse_name(text)
  kind = ATTENTION_MODULES[name]
  return Attention(kind, kind.check(options), placement or kind.place)


def recognize(shapes: Mapping[str, Sequence[int]]) -> str | None:
  """The flag value under which a checkpoint's attention was trained.

  Args:
    shapes: the checkpoint's variables and their shapes; optimizer slots and
      moving averages among them do no harm.

  Returns:
    For instance 'cbam_block(ratio=16)', or None if no module fits.
  """
  for kind in ATTENTION_MODULES.values():
    options = kind.options_of(shapes)
    if options is not None and None not in options.values():
      return kind.spell(options)
  return None
