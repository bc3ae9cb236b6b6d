"""TensorFlow's file `checkpoint`, which names a folder's newest checkpoint.

Editing it is TensorFlow's way to roll a run back.
"""

import dataclasses
import os
import pathlib
import re

FILE = 'checkpoint'
_LINE = re.compile(r'^\s*(all_)?model_checkpoint_paths?\s*:\s*"(.*)"\s*$', re.M)


@dataclasses.dataclass(frozen=True)
class State:
  """What the file says; paths are reduced to names, as folders are moved.

  Attributes:
    newest: name of the newest checkpoint.
    listed: names of all checkpoints there were.
    written_at: time it was written, ns.
  """

  newest: str
  listed: frozenset[str]
  written_at: int


def is_state_file(path: str | pathlib.Path) -> bool:
  """Whether a path is that of a `checkpoint` file."""
  return os.path.basename(path) == FILE and os.path.isfile(path)


def read(folder: str | pathlib.Path) -> State | None:
  """Reads the file of a folder; None if there is none or it names nothing."""
  path = pathlib.Path(folder, FILE)
  if not path.is_file():
    return None
  lines = _LINE.findall(path.read_text(encoding='utf-8', errors='replace'))
  names = {bool(listed): os.path.basename(name) for listed, name in lines}
  if False not in names:
    return None
  return State(
    newest=names[False],
    listed=frozenset(os.path.basename(name) for _, name in lines),
    written_at=path.stat().st_mtime_ns,
  )
