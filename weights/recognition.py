"""Recognizes which architecture a file of weights is of."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from errors import UserError
from weights import modules, translation
from weights.architectures import ARCHITECTURES, Architecture
from weights.modules import Weights

# Networks of timm -> one that has the same arrays. They blur a map before they
# take every second pixel of it, so they compute something else.
LOOKALIKES = {
  'resnetaa50': 'resnet50',
  'resnetblur18': 'resnet18',
  'resnetblur50': 'resnet50',
}
# Sizes of architectures with which a file of another size is compared.
_NEAREST = 3


def candidates(
  weights: Weights, model_name: str | None, declared: str | None
) -> Sequence[Architecture]:
  """Returns the architectures that a file may be of, the likeliest first.

  Args:
    weights: the file's content.
    model_name: the network; None for any.
    declared: timm's name of the network, if it comes with the file.

  Raises:
    UserError: if the file is of another network than these say.
  """
  table = [
    entry for entry in ARCHITECTURES.values() if entry.family == weights.family
  ]
  if declared:
    table = [entry for entry in table if entry.name == f'timm:{declared}']
  if not table:
    raise UserError(
      f"{weights.source} is of timm's {declared} by the config.json beside it, "
      'and no network here computes the same. If it is of another, move '
      'config.json away.'
    )
  fitting = [entry for entry in table if has_size(weights, entry)]
  # Several projects call the same layers differently.
  fitting.sort(key=lambda entry: entry.classifier not in weights.modules)
  if not fitting:
    named = [entry for entry in table if entry.network == model_name]
    return _nearest(weights, named or table)
  likely = _by_name(weights, fitting)
  asked = [e for e in likely if model_name in (None, e.network)]
  if asked:
    return asked
  first = likely[0]
  raise UserError(
    f'{weights.source} holds weights of {first.network} ({first.name}), not '
    f'of --model_name={model_name}: where shapes agree, strides, padding or '
    f'attention differ. Omit --model_name, or set --model_name={first.network}.'
  )


def has_size(weights: Weights, entry: Architecture) -> bool:
  """Whether a file has as many values as an architecture."""
  return _size(weights, entry) == entry.size


def _size(weights: Weights, entry: Architecture) -> int:
  """Returns the number of values in all layers but the classifier."""
  named = name_classifier(weights, entry)
  return modules.size(
    {
      name: module
      for name, module in named.modules.items()
      if not translation.is_ignored(name)
    },
    without=[entry.classifier],
  )


def _nearest(
  weights: Weights, table: Sequence[Architecture]
) -> Sequence[Architecture]:
  """Returns the architectures of the sizes nearest to a file's."""
  distance = {e.name: abs(_size(weights, e) - e.size) for e in table}
  most = sorted({*distance.values()})[:_NEAREST][-1]
  near = [entry for entry in table if distance[entry.name] <= most]
  return sorted(near, key=lambda entry: distance[entry.name])


def _by_name(
  weights: Weights, entries: Sequence[Architecture]
) -> Sequence[Architecture]:
  """Sorts architectures, those first whose name the file has.

  Raises:
    UserError: if the file has the name of one that only looks like one of them.
  """
  text = _names(weights)
  fitting = {entry.name: entry for entry in entries}
  for name, other in LOOKALIKES.items():
    if name in text and f'timm:{other}' in fitting:
      raise UserError(
        f"{weights.source} is of timm's {name} by its name, which has the arrays "
        f'of {other} but computes something else: no network here fits. If it '
        f'is of {other}, rename it.'
      )

  def length(entry: Architecture) -> int:
    """Returns the length of the name, 0 if the file does not have it."""
    name = _bare(entry)
    return len(name) * (name in text)

  return sorted(entries, key=length, reverse=True)


def _names(weights: Weights) -> str:
  """Returns the name of the file and that of the network in it, if any."""
  return (
    f'{pathlib.Path(weights.source).name} {weights.facts.get("architecture")}'
  )


def _bare(entry: Architecture) -> str:
  """Returns the name without its project."""
  return entry.name.partition(':')[2]


def doubt(
  weights: Weights, chosen: Architecture, declared: str | None
) -> str | None:
  """Returns a warning if the choice between two architectures was a guess."""
  # Entries of the same arrays share the function that names their layers.
  others = [
    entry
    for entry in ARCHITECTURES.values()
    if entry is not chosen and entry.layers is chosen.layers
    if entry.size == chosen.size
  ]
  if declared or not others or _bare(chosen) in _names(weights):
    return None
  other = others[0]
  return (
    f'{weights.source} was taken for {chosen.name}, but has the arrays of '
    f'{other.name} too, whose padding differs: if it is of that, rename it to '
    f'{_bare(other)}{pathlib.Path(weights.source).suffix}.'
  )


def name_classifier(weights: Weights, architecture: Architecture) -> Weights:
  """Returns the weights with a classifier of one's own renamed."""
  content = weights.modules
  if architecture.classifier in content:
    return weights
  others = ('fc1', 'fc2', 'pre_logits.fc1', 'pre_logits.fc2')
  heads = [
    name
    for name, module in content.items()
    if name not in others
    and 'bias' in module
    and 'kernel' in module
    and module['kernel'].ndim == 2
    and re.search(r'dense|pred|fc|head|classif|linear|logits|output', name)
    and not re.search(r'\.(se|se_module|cbam)\.', name)
  ]
  if len(heads) != 1:
    return weights
  renamed = {
    architecture.classifier if name == heads[0] else name: module
    for name, module in content.items()
  }
  names = {
    f'{architecture.classifier}/{kind}': weights.name_of(heads[0], kind)
    for kind in content[heads[0]]
  }
  return dataclasses.replace(
    weights, modules=renamed, names={**weights.names, **names}
  )


def num_classes(weights: Weights, architecture: Architecture) -> int | None:
  """Returns the width of the logits, or None if the weights have none.

  Raises:
    UserError: if there is a single logit.
  """
  classifier = weights.modules.get(architecture.classifier, {})
  if 'bias' not in classifier:
    return None
  width = classifier['bias'].size
  if width < 2:
    raise UserError(
      f'{weights.source} computes a single logit, but networks have one for each '
      'class: give its last layer a second output.'
    )
  return width
