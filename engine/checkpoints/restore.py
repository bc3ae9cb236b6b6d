"""Restores variables for resuming, fine-tuning and evaluation.

Each function compares the checkpoint with the default graph before anything
runs, and refuses it if variables are missing on either side.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import files
from engine import console
from engine.checkpoints import matching, store
from engine.checkpoints.matching import AVERAGE
from errors import UserError
from nets import nets_factory
from nets.attention import attend, attention_factory
from tf_compat import slim, tf

# In train_dir, the variables that fine-tuning did not find in its checkpoint.
INITIALIZED_LIST = 'initialised.txt'

# restore(session, checkpoint): fills variables from a checkpoint.
Restore = Callable[[Any, str], None]


class FineTuneOptions(Protocol):
  """The options of a training job that fine-tuning reads."""

  @property
  def model_name(self) -> str: ...
  @property
  def train_dir(self) -> str: ...
  @property
  def checkpoint_exclude_scopes(self) -> str | None: ...
  @property
  def ignore_missing_vars(self) -> bool: ...


@dataclasses.dataclass(frozen=True)
class _Contents:
  """The variables in a checkpoint.

  Attributes:
    names: today's name of a variable -> its name in the checkpoint.
    weights: today's name -> shape, of the network's own variables.
  """

  names: Mapping[str, str]
  weights: dict[str, matching.Shape]


def _read(checkpoint: str, model_name: str) -> _Contents:
  """Reads names and shapes; old spellings of a network get today's names."""
  network = nets_factory.NETWORKS[model_name]
  shapes = store.shapes(checkpoint)
  names = {network.own_name(name): name for name in shapes}
  return _Contents(
    names, matching.weights({own: shapes[n] for own, n in names.items()})
  )


def resuming(model_name: str, checkpoint: str) -> Restore:
  """Restores everything a training graph holds: weights, optimizer, averages.

  Raises:
    UserError: if the checkpoint is of another network or optimizer.
  """
  contents = check_resumable(model_name, checkpoint)
  mapping, averaged, missing = {}, 0, []
  for variable in tf.global_variables():
    name = variable.op.name
    raw = name.removesuffix(AVERAGE)
    if name in contents.names:
      mapping[variable] = contents.names[name]
    elif raw in contents.names:
      mapping[variable] = contents.names[raw]
      averaged += 1
    elif matching.is_slot(name):
      missing.append(name)
  if missing:
    raise UserError(
      f"{checkpoint} lacks the optimizer's {matching.abbreviate(missing)}: "
      'resume with the --optimizer and --trainable_scopes it was trained with, '
      'or fine-tune it (--checkpoint_path) in another --train_dir.'
    )
  if averaged:
    console.say(
      f'{averaged} moving averages start from the raw weights: '
      f'{checkpoint} has none of them.'
    )
  return restorer(mapping)


def check_resumable(model_name: str, checkpoint: str) -> _Contents:
  """Checks that a run of the default graph's network saved a checkpoint.

  Raises:
    UserError: if its variables are of another network.
  """
  contents = _read(checkpoint, model_name)
  _refuse_other_network(checkpoint, contents.weights)
  return contents


def _refuse_other_network(
  checkpoint: str, weights: matching.Shapes, scope: str = ''
) -> None:
  """Raises UserError unless the weights are exactly this network's."""
  graph_shapes = {
    name.removeprefix(f'{scope}/'): shape
    for name, shape in matching.variable_shapes(
      slim.get_model_variables()
    ).items()
  }
  difference = matching.compare(weights, graph_shapes)
  if difference.lacking or difference.unused or difference.reshaped:
    raise UserError(
      matching.refusal(checkpoint, difference, weights, graph_shapes)
    )


def fine_tuning(
  options: FineTuneOptions,
  checkpoint: str,
  is_chief: bool = True,
  num_classes: int | None = None,
) -> Restore:
  """Restores a network's weights except --checkpoint_exclude_scopes.

  Attention that the checkpoint lacks is initialized and listed: to add it to
  a plain network is what fine-tuning is for. So are logits of other classes, and
  an auxiliary classifier of images of another size, if nothing else differs.
  Anything else that is missing is refused unless --ignore_missing_vars. Moving
  averages start from the weights.

  Args:
    options: the training job.
    checkpoint: the checkpoint to start from.
    is_chief: whether to write the list of initialized variables to train_dir.
    num_classes: width of the logits.

  Raises:
    UserError: if the checkpoint does not fit.
  """
  excluded, included = matching.split_by_scopes(
    slim.get_model_variables(),
    options.checkpoint_exclude_scopes,
    'checkpoint_exclude_scopes',
  )
  contents = _read(checkpoint, options.model_name)
  for variable in excluded:
    contents.weights.pop(variable.op.name, None)
  graph_shapes = matching.variable_shapes(included)
  auxiliary = _take_auxiliary(contents.weights, graph_shapes)
  heads = _take_heads(checkpoint, contents, graph_shapes, num_classes)
  heads += auxiliary
  initialized = _variables_to_initialize(
    checkpoint,
    contents.weights,
    graph_shapes,
    options.ignore_missing_vars,
    heads,
  )
  if auxiliary:
    console.say(
      f'The images of {checkpoint} had another size, so a part of the auxiliary '
      f'classifier is initialized: {matching.abbreviate(auxiliary, 4)}.'
    )
  console.say(
    f'Fine-tuning {len(included) - len(initialized)} variables of {checkpoint}.'
  )
  if initialized:
    _list_initialized(initialized, heads, options.train_dir, is_chief)
  restored = set(graph_shapes) - set(initialized)
  mapping = {}
  for variable in tf.global_variables():
    raw = variable.op.name.removesuffix(AVERAGE)
    if raw in restored:
      mapping[variable] = contents.names[raw]
  return restorer(mapping)


def _list_initialized(
  initialized: Sequence[str],
  heads: Collection[str],
  train_dir: str,
  is_chief: bool,
) -> None:
  """Says and lists in train_dir what fine-tuning initializes."""
  path = pathlib.Path(train_dir, INITIALIZED_LIST)
  if is_chief:
    files.write_text(path, '\n'.join(initialized) + '\n')
  lacking = [name for name in initialized if name not in heads]
  if lacking:
    console.say(
      f'Not in it, so initialized: {matching.abbreviate(lacking, 4)}.'
    )
  console.say(f'{path} lists what is initialized.')


def _take_auxiliary(
  weights: dict[str, matching.Shape], graph_shapes: matching.Shapes
) -> list[str]:
  """Removes what differs in auxiliary classifiers by the size of the images.

  Returns:
    The names of the variables that the checkpoint cannot fill. Their shapes
    differ, apart from classes; in inception_v3 their names do.
  """
  difference = matching.compare(weights, graph_shapes)
  reshaped = [
    name
    for name, (theirs, ours) in difference.reshaped.items()
    if nets_factory.is_auxiliary(name) and theirs[:-1] != ours[:-1]
  ]
  for name in reshaped:
    del weights[name]
  if not any(map(nets_factory.is_auxiliary, difference.unused)):
    return reshaped
  return [*reshaped, *filter(nets_factory.is_auxiliary, difference.lacking)]


def _take_heads(
  checkpoint: str,
  contents: _Contents,
  graph_shapes: matching.Shapes,
  num_classes: int | None,
) -> list[str]:
  """Removes logits of other classes from the weights; returns their names."""
  heads = matching.other_classes(contents.weights, graph_shapes, num_classes)
  if heads:
    console.say(
      f'{checkpoint} has {contents.weights[heads[0]][-1]} classes, the data '
      f'{num_classes}, so these are initialized: '
      f'{matching.abbreviate(heads, 4)}.'
    )
  for name in heads:
    del contents.weights[name]
  return heads


def _variables_to_initialize(
  checkpoint: str,
  weights: matching.Shapes,
  graph_shapes: matching.Shapes,
  ignore_missing: bool,
  heads: Collection[str],
) -> list[str]:
  """Returns the names a checkpoint may lack; UserError if it lacks others.

  Unused variables of the checkpoint do no harm, except attention: without it
  the other weights are of no use.
  """
  difference = matching.compare(weights, graph_shapes)
  attention = {v.op.name for v in tf.get_collection(attend.VARIABLES)}
  allowed = {*graph_shapes} if ignore_missing else {*attention, *heads}
  refused = [name for name in difference.lacking if name not in allowed]
  unused = {name: weights[name] for name in difference.unused}
  lost = unused if attention_factory.has_attention(unused) else {}
  if refused or lost or difference.reshaped:
    strict = matching.Difference(refused, list(lost), difference.reshaped)
    raise UserError(
      matching.refusal(checkpoint, strict, weights, graph_shapes)
      + ' --ignore_missing_vars initializes what is missing.' * bool(refused)
    )
  return difference.lacking


def evaluating(
  model_name: str, checkpoint: str, use_averages: bool, scope: str = ''
) -> dict[tf.Variable, str]:
  """Returns what each variable of a network for inference is restored from.

  Args:
    model_name: the network's.
    checkpoint: the checkpoint.
    use_averages: whether to take the moving average of a variable where the
      checkpoint has one.
    scope: variable scope of the network in the graph, which the checkpoint
      lacks; '' for none.

  Raises:
    UserError: if the weights are not exactly this network's.
  """
  contents = _read(checkpoint, model_name)
  scopes = nets_factory.NETWORKS[model_name].training_only
  weights = {
    name: shape
    for name, shape in contents.weights.items()
    if not any(matching.in_scope(name, scope) for scope in scopes)
  }
  name_of = {
    v: v.op.name.removeprefix(f'{scope}/') for v in slim.get_model_variables()
  }
  _refuse_other_network(checkpoint, weights, scope)
  names = {v: contents.names[name] for v, name in name_of.items()}
  if not use_averages:
    return names
  averaged = {
    v: contents.names[name + AVERAGE]
    for v, name in name_of.items()
    if name + AVERAGE in contents.names
  }
  raw = [name for v, name in name_of.items() if v not in averaged]
  if raw:
    console.say(
      f'No moving average in {checkpoint} of {matching.abbreviate(raw)}: '
      'evaluated with the raw values.'
    )
  return names | averaged


def restore_for_inference(
  session: tf.Session, model_name: str, checkpoint: str, use_averages: bool
) -> None:
  """Restores the network of the default graph; see `evaluating`."""
  mapping = evaluating(model_name, checkpoint, use_averages)
  restorer(mapping)(session, checkpoint)


def restorer(mapping: Mapping[tf.Variable, str]) -> Restore:
  """Returns a function (session, checkpoint) that restores variables.

  One name may serve several variables (a moving average that starts from its
  raw weight, the copies on several devices), which one Saver cannot do: this
  uses as many as necessary.

  Args:
    mapping: variable -> its name in the checkpoint.
  """
  copies = tf.distribute.get_strategy().experimental_local_results
  rounds: list[dict[str, tf.Variable]] = []
  for variable, name in mapping.items():
    for copy in copies(variable):
      free = next((r for r in rounds if name not in r), None)
      if free is None:
        rounds.append(free := {})
      free[name] = copy
  savers = [tf.train.Saver(names, save_relative_paths=True) for names in rounds]

  def restore(session: tf.Session, checkpoint: str) -> None:
    for saver in savers:
      store.restore(saver, session, checkpoint)

  return restore
