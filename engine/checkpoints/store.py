"""Checkpoint files: finds readable ones, copies, deletes and cleans up."""

from __future__ import annotations

import functools
import glob
import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

import files
from engine import console
from engine.checkpoints import state_file
from errors import UserError
from tf_compat import saving_builder, tf

PREFIX = 'model.ckpt'
# TensorFlow reads paths with these characters as patterns.
_PATTERN = re.compile(r'[][*?\\]')


def is_pattern(path: str) -> bool:
  """Whether TensorFlow would read a path as a pattern of paths."""
  return bool(_PATTERN.search(path))


def plain_path(checkpoint: str) -> str:
  """Returns a path of the same checkpoint that is no pattern.

  Raises:
    UserError: if the name itself is one.
  """
  folder, name = os.path.split(checkpoint)
  if is_pattern(name):
    raise UserError(
      f'{checkpoint}: TensorFlow reads a name with any of [ ] * ? \\ as a '
      'pattern. Rename the checkpoint, or name a single one.'
    )
  if not is_pattern(folder):
    return checkpoint
  return os.path.join(_plain_folder(os.path.abspath(folder)), name)


@functools.cache
def _plain_folder(folder: str) -> str:
  """Makes a link to a folder, in $TMPDIR until the program ends."""
  link = files.temporary_folder('slim_link_') / 'folder'
  if is_pattern(str(link)):
    raise UserError(
      f'{folder} and the temporary folder {link.parent} both contain one of '
      '[ ] * ? \\, which TensorFlow reads as a pattern: set TMPDIR.'
    )
  link.symlink_to(folder)
  return str(link)


def open_reader(checkpoint: str) -> Any:
  """Opens a checkpoint; raises one of read_errors() if that fails."""
  return tf.train.load_checkpoint(plain_path(checkpoint))


def restore(
  saver: tf.train.Saver, session: tf.Session, checkpoint: str
) -> None:
  """Restores a saver's variables from a checkpoint."""
  saver.restore(session, plain_path(checkpoint))


def read_errors() -> tuple[type[Exception], ...]:
  """Returns what reading a damaged or deleted checkpoint may raise.

  TensorFlow's reader raises other exceptions than its own for some faults.
  """
  return (
    tf.errors.OpError,
    ValueError,
    RuntimeError,
    IndexError,
    FileNotFoundError,
  )


def step_of(checkpoint: str | pathlib.Path) -> int:
  """Returns the step in a name, 'model.ckpt-120' -> 120; -1 if it has none."""
  match = re.search(r'-(\d+)$', str(checkpoint))
  return int(match.group(1)) if match else -1


def global_step(checkpoint: str) -> int:
  """Returns the step in a checkpoint's name, or in it; 0 if neither has one."""
  if step_of(checkpoint) >= 0:
    return step_of(checkpoint)
  return recorded_step(checkpoint) or 0


def recorded_step(checkpoint: str) -> int | None:
  """Returns the step that a checkpoint's variables have; None without one."""
  reader = open_reader(checkpoint)
  if not reader.has_tensor('global_step'):
    return None
  step = reader.get_tensor('global_step')
  return int(step) if step.shape == () and step.dtype.kind in 'iu' else None


def written_at(checkpoint: str) -> int | None:
  """Returns the time a checkpoint was completed, ns; None if it is deleted."""
  try:
    return os.stat(checkpoint + '.index').st_mtime_ns
  except FileNotFoundError:
    return None


def in_folder(folder: str | pathlib.Path) -> list[str]:
  """Lists the checkpoints in a folder, lowest step first."""
  indices = pathlib.Path(folder).glob('[!.]*.index')
  return sorted((str(i.with_suffix('')) for i in indices), key=step_of)


def newest_first(folder: str | pathlib.Path, verbose: bool = True) -> list[str]:
  """Lists the checkpoints in a folder, newest first.

  The newest is that of the highest step, or the one that the file `checkpoint`
  names if it was edited: all others were there when it was written.

  Args:
    folder: the folder.
    verbose: whether to print that the file is followed.
  """
  checkpoints = in_folder(folder)[::-1]
  state = state_file.read(folder)
  if state is None or not checkpoints:
    return checkpoints
  named = str(pathlib.Path(folder, state.newest))
  if named not in checkpoints:
    if verbose:
      console.say(
        f'{pathlib.Path(folder, state_file.FILE)} names {state.newest}, which is '
        f'not there; {os.path.basename(checkpoints[0])} is the newest.'
      )
    return checkpoints
  later = checkpoints[: checkpoints.index(named)]
  # A kill may have come between a checkpoint and its entry in the file.
  unlisted = [
    checkpoint
    for checkpoint in later
    if os.path.basename(checkpoint) not in state.listed
    and (written_at(checkpoint) or 0) > state.written_at
  ]
  if later and not unlisted and verbose:
    console.say(
      f'{pathlib.Path(folder, state_file.FILE)} names {state.newest} as the '
      f'newest checkpoint, so {os.path.basename(checkpoints[0])} is passed over; '
      'delete that file to start from the highest step.'
    )
  rest = [checkpoint for checkpoint in later if checkpoint not in unlisted]
  return [*unlisted, *checkpoints[checkpoints.index(named) :], *rest]


def read_problem(checkpoint: str) -> str | None:
  """Returns why a checkpoint is damaged; None if every tensor can be read."""
  try:
    reader = open_reader(checkpoint)
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)
  except read_errors() as error:
    return str(error).splitlines()[0]
  return None


def newest_readable(
  folder: str | pathlib.Path, verbose: bool = True
) -> str | None:
  """Returns the newest checkpoint of a folder that can be read, or None.

  A disk fault or a kill can leave a damaged newest one, which is skipped.

  Args:
    folder: the folder.
    verbose: whether to print which checkpoints are skipped, and why.
  """
  for checkpoint in newest_first(folder, verbose):
    problem = read_problem(checkpoint)
    if problem is None:
      return checkpoint
    if verbose:
      console.say(f'Skipping {checkpoint}, which is damaged: {problem}')
  return None


def folder_of(path: str) -> pathlib.Path:
  """Returns the folder of the checkpoints that --checkpoint_path names."""
  return pathlib.Path(path if os.path.isdir(path) else os.path.dirname(path))


def find(path: str) -> str:
  """Finds the checkpoint that --checkpoint_path names.

  Args:
    path: a checkpoint, with or without its '.index' or '.data-…' ending, or a
      folder or the `checkpoint` file in it, for its newest readable checkpoint.

  Raises:
    UserError: if there is none, or the named one is damaged.
  """
  if os.path.isdir(path) or state_file.is_state_file(path):
    checkpoint = newest_readable(folder_of(path))
    if checkpoint is None:
      raise UserError(
        f'No checkpoint in {path}: set --checkpoint_path to a checkpoint, or '
        'to the folder that training wrote to (its --train_dir).'
      )
    return checkpoint
  checkpoint = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path)
  # The oldest format of TF-Slim is a single file.
  if not (os.path.isfile(f'{checkpoint}.index') or os.path.isfile(checkpoint)):
    raise UserError(
      f'No checkpoint {path}: pass a folder of checkpoints, or the path of one '
      'without ".index".' + _other_checkpoints_hint(checkpoint)
    )
  problem = read_problem(checkpoint)
  if problem is not None:
    raise UserError(
      f'{checkpoint} is damaged: {problem}.'
      + _other_checkpoints_hint(checkpoint)
    )
  return checkpoint


def _other_checkpoints_hint(checkpoint: str) -> str:
  """Returns a sentence that lists the other checkpoints of the folder."""
  others = [
    c for c in in_folder(pathlib.Path(checkpoint).parent) if c != checkpoint
  ]
  return f' Its folder has: {", ".join(others[-5:])}.' if others else ''


def shapes(checkpoint: str) -> dict[str, list[int]]:
  """Returns name -> shape of every tensor in a checkpoint."""
  return open_reader(checkpoint).get_variable_to_shape_map()


def write(
  values: Mapping[str, np.ndarray], folder: str | pathlib.Path, step: int
) -> str:
  """Writes a checkpoint of variables and of the global step.

  Args:
    values: name -> value.
    folder: existing folder.
    step: the global step, which the name tells.

  Returns:
    The checkpoint's path.
  """
  values = {**values, 'global_step': np.array(step, np.int64)}
  path = os.path.join(folder, f'{PREFIX}-{step}')
  with tf.Graph().as_default(), tf.Session() as session:
    # Fed one by one, as a graph holds constants of at most 2 GB.
    tensors = [
      tf.placeholder(np.asarray(value).dtype, np.shape(value))
      for value in values.values()
    ]
    save = tf.raw_ops.SaveV2(
      prefix=path,
      tensor_names=list(values),
      shape_and_slices=[''] * len(values),
      tensors=tensors,
    )
    session.run(save, dict(zip(tensors, values.values(), strict=True)))
  tf.train.update_checkpoint_state(
    str(folder), os.path.basename(path), [os.path.basename(path)]
  )
  return path


def copy(checkpoint: str, folder: str | pathlib.Path) -> str:
  """Copies a checkpoint into a folder atomically, and returns the new path.

  The copy is a hard link if the disk has them: TensorFlow replaces and deletes
  names and never writes into a finished file. The index is copied last, since
  without it the other files are not a checkpoint.

  Raises:
    FileNotFoundError: if the checkpoint was deleted meanwhile.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  source = pathlib.Path(checkpoint)
  parts = sorted(
    source.parent.glob(f'{glob.escape(source.name)}.*'),
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
    # This also removes what a killed copy has left.
    for leftover in folder.glob(f'.{PREFIX}*'):
      leftover.unlink(missing_ok=True)
  return str(folder / source.name)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
  """Links a file to a second name, or copies it if the disk has no links."""
  target.unlink(missing_ok=True)
  try:
    os.link(source, target)
  except FileNotFoundError:
    raise
  except OSError:
    shutil.copyfile(source, target)


def saver(
  train_dir: str, keep: int, resumed_from: int | None = None
) -> tf.train.Saver:
  """Returns a saver of all variables, which deletes the oldest checkpoints.

  It cannot restore: restore.restorer() can.

  Args:
    train_dir: the folder that it saves in.
    keep: number of checkpoints that stay; 0 for all.
    resumed_from: the step of the checkpoint that a run is resumed from, which
      counts, as do those before it; None for a new run.
  """
  made = tf.train.Saver(
    max_to_keep=keep, save_relative_paths=True, builder=saving_builder()
  )
  if resumed_from is not None and keep:
    made.recover_last_checkpoints(
      [
        plain_path(path)
        for path in in_folder(train_dir)
        # Copies under other names are the user's.
        if re.fullmatch(rf'{re.escape(PREFIX)}-\d+', os.path.basename(path))
        and step_of(path) <= resumed_from
      ]
    )
  return made


def delete(checkpoint: str) -> None:
  """Deletes a checkpoint, its index first."""
  path = pathlib.Path(checkpoint)
  for part in sorted(
    path.parent.glob(f'{glob.escape(path.name)}.*'),
    key=lambda part: part.suffix != '.index',
  ):
    part.unlink(missing_ok=True)


# Temporary files of TensorFlow and of this project that a killed training
# leaves. (If an evaluation is drawing curves.png right now, it is drawn again
# at the next checkpoint.)
_LEFTOVERS = (
  f'{PREFIX}-*.tempstate*',
  'checkpoint.tmp*',
  '.curves.*.*',
  '.job.*.json',
  '.progress.*.csv',
  '.finished.*.json',
  '.report.*.html',
)


def remove_leftovers(folder: str | pathlib.Path) -> None:
  """Deletes incomplete files that a killed training left."""
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
