"""Checkpoints: finding whole ones, comparing, restoring, saving, the best."""

import dataclasses
import difflib
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence

from engine import console
from errors import UserError
from nets.attention import attention_factory
from tf_compat import tf

Shapes = Mapping[str, Sequence[int]]

PREFIX = 'model.ckpt'
AVERAGE = '/ExponentialMovingAverage'
# What reading a damaged or deleted checkpoint raises: its reader has errors of
# its own kind for some faults.
READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)
# What optimizers keep beside each weight, as their checkpoints call it.
_SLOTS = re.compile(r'/(Adadelta|Adagrad|Adam|Ftrl|Momentum|RMSProp)(_\d+)?$')
# Beside those, what published checkpoints carry: the data's mean color.
_NOT_WEIGHTS = re.compile(
  r'^(global_step|beta[12]_power|current_loss_scale|good_steps)(_\d+)?$'
  r'|/mean_rgb$'
)


# Finding ---------------------------------------------------------------------


def step_of(checkpoint: str | pathlib.Path) -> int:
  """The step in a checkpoint's name, 'model.ckpt-120' -> 120; -1 for none."""
  found = re.search(r'-(\d+)$', str(checkpoint))
  return int(found.group(1)) if found else -1


def global_step(checkpoint: str) -> int:
  """The training step that a checkpoint was saved at; 0 if it does not say."""
  if step_of(checkpoint) >= 0:
    return step_of(checkpoint)
  reader = tf.train.load_checkpoint(checkpoint)
  if not reader.has_tensor('global_step'):
    return 0
  return int(reader.get_tensor('global_step'))


def written_at(checkpoint: str) -> int | None:
  """When a checkpoint was completed, in ns of the disk's; None if it is gone."""
  try:
    return os.stat(checkpoint + '.index').st_mtime_ns
  except FileNotFoundError:
    return None


def in_folder(folder: str | pathlib.Path) -> list[str]:
  """The checkpoints in a folder, oldest step first."""
  indices = pathlib.Path(folder).glob('*.index')
  return sorted((str(i.with_suffix('')) for i in indices), key=step_of)


def fault(checkpoint: str) -> str | None:
  """Why a checkpoint cannot be used; None if every tensor can be read."""
  try:
    reader = tf.train.load_checkpoint(checkpoint)
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)
  except READ_ERRORS as error:
    return str(error).splitlines()[0]
  return None


def newest_whole(folder: str | pathlib.Path, tell: bool = True) -> str | None:
  """The newest checkpoint of a folder that is whole; None if there is none.

  A disk or a kill can leave a damaged newest one: it is passed over, and named
  if it is to be told.
  """
  for checkpoint in reversed(in_folder(folder)):
    problem = fault(checkpoint)
    if problem is None:
      return checkpoint
    if tell:
      console.say(f'{checkpoint} is damaged and passed over: {problem}')
  return None


def find(path: str) -> str:
  """The checkpoint that a file or a folder names.

  Args:
    path: a checkpoint, with or without its '.index' or '.data-…' ending, or a
      folder of which the newest whole checkpoint is taken.

  Raises:
    UserError: if there is none, or the named one is damaged.
  """
  if pathlib.Path(path).is_dir():
    checkpoint = newest_whole(path)
    if checkpoint is None:
      raise UserError(
        f'No checkpoint in {path}: --checkpoint_path names a checkpoint, or '
        'the folder (train_dir) in which training wrote some.'
      )
    return checkpoint
  checkpoint = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path)
  # Also true of TF-Slim's oldest, which are a single file.
  if not tf.train.checkpoint_exists(checkpoint):
    raise UserError(
      f'No checkpoint {path}: name a folder that holds some, or one of them '
      'by what stands before .index.' + _neighbours(checkpoint)
    )
  problem = fault(checkpoint)
  if problem is not None:
    raise UserError(
      f'{checkpoint} is damaged: {problem}.' + _neighbours(checkpoint)
    )
  return checkpoint


def _neighbours(checkpoint: str) -> str:
  """A hint at what else is in a checkpoint's folder."""
  others = [
    c for c in in_folder(pathlib.Path(checkpoint).parent) if c != checkpoint
  ]
  return f' There: {", ".join(others[-5:])}.' if others else ''


def shapes(checkpoint: str) -> dict[str, list[int]]:
  """Name -> shape of everything in a checkpoint."""
  return tf.train.load_checkpoint(checkpoint).get_variable_to_shape_map()


def weights(everything: Shapes) -> dict[str, Sequence[int]]:
  """What of a checkpoint is a network's own, no optimizer's or average's."""
  return {name: shape for name, shape in everything.items() if is_weight(name)}


def is_slot(name: str) -> bool:
  """Whether a name is what an optimizer keeps beside a weight."""
  return bool(_SLOTS.search(name))


def is_weight(name: str) -> bool:
  """Whether a name in a checkpoint is a network's own variable."""
  return not (
    name.endswith(AVERAGE) or is_slot(name) or _NOT_WEIGHTS.search(name)
  )


# Scopes ----------------------------------------------------------------------


def in_scope(name: str, scope: str) -> bool:
  """Whether whole components match: 'a/b/w' is in 'a/b', not in 'a/bb'."""
  scope = scope.strip('/')
  return name == scope or name.startswith(scope + '/')


def split_by_scopes(
  variables: Iterable[tf.Variable], scopes: str | None, flag: str
) -> tuple[list[tf.Variable], list[tf.Variable]]:
  """Variables inside and outside of a comma list of scopes.

  Raises:
    UserError: if a scope holds no variable, naming near ones.
  """
  variables = list(variables)
  wanted = [s.strip() for s in (scopes or '').split(',') if s.strip()]
  for scope in wanted:
    if not any(in_scope(v.op.name, scope) for v in variables):
      known = _all_scopes(v.op.name for v in variables)
      near = difflib.get_close_matches(scope, known, n=3, cutoff=0.4)
      hint = near or sorted(known, key=lambda s: (s.count('/'), s))[:5]
      raise UserError(
        f'--{flag}: no variable is in scope {scope!r}. Near: {", ".join(hint)}.'
      )
  inside = [
    v for v in variables if any(in_scope(v.op.name, scope) for scope in wanted)
  ]
  return inside, [v for v in variables if v not in set(inside)]


def _all_scopes(names: Iterable[str]) -> list[str]:
  """Every scope that holds one of the names, the names included."""
  scopes: dict[str, None] = {}
  for name in names:
    parts = name.split('/')
    scopes.update(
      dict.fromkeys('/'.join(parts[: n + 1]) for n in range(len(parts)))
    )
  return list(scopes)


# Comparing -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Difference:
  """How a checkpoint's weights differ from a network's.

  Attributes:
    lacking: in the network, not in the checkpoint.
    unused: in the checkpoint, not in the network.
    reshaped: in both with other shapes: name -> (checkpoint's, network's).
  """

  lacking: list[str]
  unused: list[str]
  reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def compare(checkpoint: Shapes, network: Shapes) -> Difference:
  """The differences in both directions."""
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


def variable_shapes(variables: Iterable[tf.Variable]) -> dict[str, list[int]]:
  """Name in a checkpoint -> shape."""
  return {v.op.name: v.shape.as_list() for v in variables}


def refusal(
  checkpoint: str, difference: Difference, held: Shapes, wanted: Shapes
) -> str:
  """The message for a checkpoint that does not fit, with the flag that would.

  Args:
    checkpoint: its path.
    difference: compare(held, wanted).
    held: the checkpoint's weights.
    wanted: the network's.
  """
  parts = []
  if difference.lacking:
    parts.append('it lacks ' + few(difference.lacking))
  if difference.unused:
    parts.append('the network lacks ' + few(difference.unused))
  if difference.reshaped:
    parts.append(
      'shapes differ (checkpoint, network): '
      + few(
        [
          f'{n} {list(a)}, {list(b)}'
          for n, (a, b) in difference.reshaped.items()
        ]
      )
    )
  return f'{checkpoint} is of another network: {"; ".join(parts)}. ' + _remedy(
    difference, held, wanted
  )


def few(names: Sequence[str], most: int = 2) -> str:
  """The first names of a list and how many more there are."""
  more = len(names) - most
  return ', '.join(names[:most]) + (f' and {more} more' if more > 0 else '')


def _roots(names: Iterable[str]) -> set[str]:
  return {name.split('/')[0] for name in names if '/' in name}


def _remedy(difference: Difference, held: Shapes, wanted: Shapes) -> str:
  """The flag that would make a checkpoint fit."""
  if _roots(held) and not _roots(held) & _roots(wanted):
    return (
      f'Its variables are of {", ".join(sorted(_roots(held)))}: give the '
      '--model_name that made it.'
    )
  there, here = map(attention_factory.recognize, (held, wanted))
  if there != here:
    return f"Try --attention_module='{there or 'none'}'."
  if there and (difference.lacking or difference.unused):
    return (
      'Give the --model_name that made it, or its --attention_placement: '
      f'{", ".join(attention_factory.PLACEMENTS)}.'
    )
  if difference.lacking or difference.unused:
    return 'Give the --model_name that made it.'
  return _shape_remedy(difference)


def _shape_remedy(difference: Difference) -> str:
  """The flag for a checkpoint that differs in shapes only."""
  counts = {(a[-1], b[-1]) for a, b in difference.reshaped.values()}
  inputs = {
    (a[-2], b[-2]) for a, b in difference.reshaped.values() if len(a) == 4
  }
  if inputs == {(1, 3)} or inputs == {(3, 1)}:
    return (
      'One takes gray images, the other color: set --use_grayscale as in '
      'training.'
    )
  if len(counts) == 1 and counts != {(1, 1)}:
    there, here = counts.pop()
    if here == there + 1:
      return (
        f'It has {there} classes, the data {here}: --labels_offset=1 leaves '
        'out the background class; another --dataset_name may have been meant.'
      )
    if there != here:
      return (
        f'It has {there} classes, the data {here} after --labels_offset: name '
        'the right data set or labels_offset; to fine-tune, add its last layer '
        'to --checkpoint_exclude_scopes.'
      )
  return 'It was trained with another image size or --model_name.'


# Restoring -------------------------------------------------------------------


def restorer(mapping: Mapping[tf.Variable, str]) -> Callable:
  """A function (session, checkpoint) that restores variables under names.

  One name may serve several variables (an average that starts from its raw
  weight, the copies on several devices), which one Saver cannot do: there are
  as many as it takes.
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
      saver.restore(session, checkpoint)

  return restore


def copy(checkpoint: str, folder: str | pathlib.Path) -> str:
  """Puts a checkpoint into a folder as well, whole or not at all; its new path.

  Both are the same files where the disk has hard links: TensorFlow replaces
  and deletes names and never writes into a finished file.

  The index goes last: without it the other files are no checkpoint.

  Raises:
    FileNotFoundError: if it was deleted meanwhile.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  source = pathlib.Path(checkpoint)
  parts = sorted(
    source.parent.glob(f'{source.name}.*'),
    key=lambda part: part.suffix == '.index',
  )
  if not parts or parts[-1].suffix != '.index':
    raise FileNotFoundError(checkpoint)
  try:
    for part in parts:
      temporary = folder / f'.{part.name}'
      _link(part, temporary)
      temporary.replace(folder / part.name)
  finally:
    # Also what a copy that was killed has left.
    for leftover in folder.glob(f'.{PREFIX}*'):
      leftover.unlink(missing_ok=True)
  return str(folder / source.name)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
  """Gives a file a second name, or copies it where that cannot be."""
  target.unlink(missing_ok=True)
  try:
    os.link(source, target)
  except FileNotFoundError:
    raise
  except OSError:
    shutil.copyfile(source, target)


def delete(checkpoint: str) -> None:
  """Deletes a checkpoint, its index first."""
  path = pathlib.Path(checkpoint)
  for part in sorted(
    path.parent.glob(f'{path.name}.*'), key=lambda part: part.suffix != '.index'
  ):
    part.unlink(missing_ok=True)


# What a killed training leaves of TensorFlow's files and of its own. (Where an
# evaluation is just drawing curves.png, the next checkpoint draws it again.)
_LEFTOVERS = (
  f'{PREFIX}-*.tempstate*',
  'checkpoint.tmp*',
  '.curves.*.png',
  '.job.*.json',
  '.progress.*.csv',
  '.finished.*.json',
)


def sweep(folder: str | pathlib.Path) -> None:
  """Removes what a killed training left half written."""
  folder = pathlib.Path(folder)
  for leftover in folder.glob(f'{PREFIX}-*_temp*'):
    shutil.rmtree(leftover, ignore_errors=True)
  for pattern in _LEFTOVERS:
    for leftover in folder.glob(pattern):
      leftover.unlink(missing_ok=True)
  # The index is written last and deleted first.
  for data in folder.glob(f'{PREFIX}-*.data-*'):
    if not data.with_suffix('.index').exists():
      data.unlink(missing_ok=True)
