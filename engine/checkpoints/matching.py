"""Compares a checkpoint's variables with a network's: scopes and shapes."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from engine import console
from engine.optimization.optimizers import OPTIMIZERS
from errors import UserError
from nets.attention import attention_factory
from tf_compat import tf

Shape = Sequence[int]
Shapes = Mapping[str, Shape]

AVERAGE = '/ExponentialMovingAverage'

# What optimizers keep beside each weight, as checkpoints name it.
_SLOTS = re.compile(
  rf'/({"|".join(o.slots for o in OPTIMIZERS.values() if o.slots)})(_\d+)?$'
)

# Published checkpoints also hold the data's mean color.
_NOT_WEIGHTS = re.compile(
  r'^(global_step|beta[12]_power|current_loss_scale|good_steps)(_\d+)?$'
  r'|/mean_rgb$'
)


def weights(shapes: Shapes) -> dict[str, Shape]:
  """Returns the network's own variables, without slots and moving averages."""
  return {name: shape for name, shape in shapes.items() if is_weight(name)}


def is_slot(name: str) -> bool:
  """Whether a name is a slot, which an optimizer keeps beside a weight."""
  return bool(_SLOTS.search(name))


def is_weight(name: str) -> bool:
  """Whether a name in a checkpoint is one of the network's own variables."""
  return not (
    name.endswith(AVERAGE) or is_slot(name) or _NOT_WEIGHTS.search(name)
  )


def in_scope(name: str, scope: str) -> bool:
  """Whether a name is in a scope: 'a/b/w' is in 'a/b', but not in 'a/bb'."""
  scope = scope.strip('/')
  return name == scope or name.startswith(scope + '/')


def split_by_scopes(
  variables: Iterable[tf.Variable], scopes: str | None, flag: str
) -> tuple[list[tf.Variable], list[tf.Variable]]:
  """Splits variables into those inside and outside of some scopes.

  Args:
    variables: the variables.
    scopes: scopes separated by commas; None for none.
    flag: the flag that names them, for the message.

  Raises:
    UserError: if a scope has no variable; names similar scopes.
  """
  variables = list(variables)
  taken = find_scopes([v.op.name for v in variables], scopes, flag)
  inside = [
    v for v in variables if any(in_scope(v.op.name, scope) for scope in taken)
  ]
  return inside, [v for v in variables if v not in set(inside)]


def find_scopes(
  names: Sequence[str], scopes: str | None, flag: str
) -> set[str]:
  """Returns the scopes that a flag names.

  Args:
    names: names of variables.
    scopes: scopes, or beginnings of scopes, separated by commas; None for none.
    flag: the flag that names them, for the message.

  Raises:
    UserError: if a scope has no variable; names similar scopes.
  """
  requested = [s.strip() for s in (scopes or '').split(',') if s.strip()]
  if scopes and not requested:
    raise UserError(f'--{flag}={scopes} names no scope: omit it, or name one.')
  return {
    scope for text in requested for scope in _matching_scopes(text, names, flag)
  }


def _matching_scopes(
  text: str, names: Sequence[str], flag: str
) -> Sequence[str]:
  """Returns the scope that a text names, or else those that it begins.

  TF-Slim took scopes as beginnings: 'InceptionV3/AuxLogit' for AuxLogits.
  """
  if any(in_scope(name, text) for name in names):
    return [text]
  begin = text.strip('/')
  scopes = dict.fromkeys(
    begin + name[len(begin) :].split('/')[0]
    for name in names
    if name.startswith(begin)
  )
  if scopes:
    console.say_once(
      f'--{flag}: no scope is called {text!r}; taken as the beginning of '
      f'{", ".join(scopes)}.'
    )
    return [*scopes]
  known = _all_scopes(names)
  near = difflib.get_close_matches(text, known, n=3, cutoff=0.4)
  hint = near or sorted(known, key=lambda s: (s.count('/'), s))[:5]
  raise UserError(
    f'--{flag}: no variable is in scope {text!r}. Similar: {", ".join(hint)}.'
  )


def _all_scopes(names: Iterable[str]) -> list[str]:
  """Lists every scope that contains one of the names, and the names."""
  scopes: dict[str, None] = {}
  for name in names:
    parts = name.split('/')
    scopes.update(
      dict.fromkeys('/'.join(parts[: n + 1]) for n in range(len(parts)))
    )
  return list(scopes)


@dataclasses.dataclass(frozen=True)
class Difference:
  """How a checkpoint's weights differ from a network's.

  Attributes:
    lacking: variables in the network, not in the checkpoint.
    unused: variables in the checkpoint, not in the network.
    reshaped: variables whose shapes differ: name -> (checkpoint's, network's).
  """

  lacking: list[str]
  unused: list[str]
  reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def compare(checkpoint: Shapes, network: Shapes) -> Difference:
  """Compares the shapes of a checkpoint and a network in both directions."""
  reshaped = {
    name: (tuple(checkpoint[name]), tuple(shape))
    for name, shape in network.items()
    if name in checkpoint and tuple(checkpoint[name]) != tuple(shape)
  }
  return Difference(
    lacking=[name for name in network if name not in checkpoint],
    unused=sorted(name for name in checkpoint if name not in network),
    reshaped=reshaped,
  )


def other_classes(
  checkpoint: Shapes, network: Shapes, num_classes: int | None
) -> list[str]:
  """Returns the variables of the logits, if only their classes differ.

  Args:
    checkpoint: shapes of the checkpoint's weights.
    network: shapes of the network's weights.
    num_classes: width of the network's logits.

  Returns:
    Names of all variables whose shapes differ; none if one of them differs in
    more than the number of classes.
  """
  reshaped = compare(checkpoint, network).reshaped
  counts = {(theirs[-1:], ours[-1:]) for theirs, ours in reshaped.values()}
  is_heads = len(counts) == 1 and all(
    theirs[:-1] == ours[:-1] and ours[-1:] == (num_classes,)
    for theirs, ours in reshaped.values()
  )
  return [*reshaped] if is_heads else []


def variable_shapes(variables: Iterable[tf.Variable]) -> dict[str, list[int]]:
  """Returns name in a checkpoint -> shape."""
  return {v.op.name: v.shape.as_list() for v in variables}


def refusal(
  checkpoint: str,
  difference: Difference,
  checkpoint_shapes: Shapes,
  graph_shapes: Shapes,
) -> str:
  """Returns the message for a checkpoint of another network, with a remedy.

  Args:
    checkpoint: its path.
    difference: compare(checkpoint_shapes, graph_shapes).
    checkpoint_shapes: shapes of the checkpoint's weights.
    graph_shapes: shapes of the network's weights.
  """
  parts = []
  if difference.lacking:
    parts.append('it lacks ' + abbreviate(difference.lacking))
  if difference.unused:
    parts.append('the network lacks ' + abbreviate(difference.unused))
  if difference.reshaped:
    parts.append(
      'shapes differ (checkpoint, network): '
      + abbreviate(
        [
          f'{n} {list(a)}, {list(b)}'
          for n, (a, b) in difference.reshaped.items()
        ]
      )
    )
  return f'{checkpoint} is of another network: {"; ".join(parts)}. ' + _remedy(
    difference, checkpoint_shapes, graph_shapes
  )


def abbreviate(names: Sequence[str], most: int = 2) -> str:
  """Joins the first names of a list, and says how many more there are."""
  more = len(names) - most
  return ', '.join(names[:most]) + (f' and {more} more' if more > 0 else '')


def _roots(names: Iterable[str]) -> set[str]:
  return {name.split('/')[0] for name in names if '/' in name}


def _remedy(
  difference: Difference, checkpoint_shapes: Shapes, graph_shapes: Shapes
) -> str:
  """Returns a sentence with the flag that would make a checkpoint fit."""
  if _roots(checkpoint_shapes) and not _roots(checkpoint_shapes) & _roots(
    graph_shapes
  ):
    return (
      f'Its variables are in {", ".join(sorted(_roots(checkpoint_shapes)))}: set '
      '--model_name to the network it was trained with.'
    )
  theirs, ours = map(
    attention_factory.recognize, (checkpoint_shapes, graph_shapes)
  )
  if theirs != ours:
    return f"Try --attention_module='{theirs or 'none'}'."
  if theirs and (difference.lacking or difference.unused):
    return (
      'Set --model_name to the network it was trained with, or set its '
      '--attention_placement: '
      f'{", ".join(attention_factory.PLACEMENTS)}.'
    )
  if difference.lacking or difference.unused:
    return 'Set --model_name to the network it was trained with.'
  return _shape_remedy(difference)


def _shape_remedy(difference: Difference) -> str:
  """Returns the sentence for a checkpoint in which only shapes differ."""
  counts = {(a[-1], b[-1]) for a, b in difference.reshaped.values() if a and b}
  inputs = {
    (a[-2], b[-2]) for a, b in difference.reshaped.values() if len(a) == 4
  }
  if inputs == {(1, 3)} or inputs == {(3, 1)}:
    if inputs == {(1, 3)}:
      return (
        'It takes grayscale images, the data is in color: set --use_grayscale.'
      )
    return (
      'It takes color images, the data is in grayscale: omit --use_grayscale, or '
      'take color images.'
    )
  if len(counts) == 1 and counts != {(1, 1)}:
    theirs, ours = counts.pop()
    if ours == theirs + 1:
      return (
        f'It has {theirs} classes, the data {ours}: --labels_offset=1 drops the '
        'background class; or another --dataset_name was intended.'
      )
    if theirs != ours:
      return (
        f'It has {theirs} classes, the data {ours} after --labels_offset: set the '
        'right data set or labels_offset; to fine-tune, add its last layer to '
        '--checkpoint_exclude_scopes.'
      )
  return 'It was trained with another image size or --model_name.'
