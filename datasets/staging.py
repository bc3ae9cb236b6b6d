"""Where a set lies until it is whole: a hidden folder beside its place.

A shard that is done has a note beside it, which says of which originals it was
made and what came of them. A conversion that goes on skips those shards, unless
an original of theirs has another size or was written since. When all are done
the manifest is written, still hidden, and everything moves out, the manifest
last. A kill in between is made good by moving the rest.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import pickle
import shutil
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import files
from datasets import manifest as manifests
from datasets.content import Content
from datasets.manifest import Manifest
from datasets.records import serialize, write_shard
from datasets.tree import Blob
from datasets.workers import Rejected

REJECTED = 'rejected.csv'
_FOLDER = '.conversion'
_NOTE = '.done'  # what a shard's note has behind the shard's name


@dataclasses.dataclass(frozen=True)
class Done:
  """What came of a shard's originals.

  Attributes:
    originals: a digest of them.
    records: how many records the shard holds.
    bytes: its size.
    rejected: (name, reason) of those that are no records.
    notes: note -> how many records it is about.
  """

  originals: str
  records: int
  bytes: int
  rejected: tuple[tuple[str, str], ...]
  notes: dict[str, int]


def is_unfinished(folder: pathlib.Path) -> bool:
  """Whether a conversion into this folder was stopped."""
  return (folder / _FOLDER).is_dir()


class Staging:
  """The hidden folder of one conversion into `folder`."""

  def __init__(self, folder: pathlib.Path):
    self.target = folder
    self._folder = folder / _FOLDER

  def open(self, shards: Collection[str], resume: bool) -> None:
    """Makes the folder, empty but for those shards if the conversion goes on."""
    if not resume:
      self.discard()
    self._folder.mkdir(exist_ok=True)
    for path in self._folder.iterdir():
      # All that is in the folder in the end becomes part of the set.
      if path.name.removesuffix(_NOTE) not in shards:
        path.unlink()

  def discard(self) -> None:
    shutil.rmtree(self._folder, ignore_errors=True)

  def discard_if_empty(self) -> None:
    if self._folder.is_dir() and not any(self._folder.glob(f'*{_NOTE}')):
      self.discard()

  def find(self, name: str, items: Sequence[Any]) -> Done | None:
    """What is known of a shard if it is done, and of these originals."""
    try:
      content = json.loads(self._note(name).read_text(encoding='utf-8'))
      done = Done(**content)
      size = (self._folder / name).stat().st_size
    except (OSError, ValueError, TypeError):
      return None
    if (done.originals, done.bytes) != (_digest(items), size):
      return None
    return dataclasses.replace(done, rejected=tuple(map(tuple, done.rejected)))

  def write(
    self,
    name: str,
    items: Sequence[Any],
    results: Iterable[Content | Rejected],
  ) -> Done:
    """Writes a shard, and then the note that it is done."""
    rejected: list[tuple[str, str]] = []
    notes: dict[str, int] = {}

    def contents():
      for result in results:
        if isinstance(result, Rejected):
          rejected.append((result.name, result.reason))
          continue
        for note in result.notes:
          notes[note] = notes.get(note, 0) + 1
        yield result

    path = self._folder / name
    records = write_shard(path, contents(), lambda c: serialize(c.features))
    done = Done(
      originals=_digest(items),
      records=records,
      bytes=path.stat().st_size,
      rejected=tuple(rejected),
      notes=notes,
    )
    files.write_text(self._note(name), json.dumps(dataclasses.asdict(done)))
    return done

  def publish(
    self, manifest: Manifest, class_names: Sequence[str], rejected: str
  ) -> None:
    """Moves a whole set to its place."""
    manifests.write_labels(class_names, self._folder)
    (self.target / REJECTED).unlink(missing_ok=True)
    if rejected:
      files.write_text(self._folder / REJECTED, rejected)
    manifests.write(manifest, self._folder)
    self.finish()

  def finish(self) -> bool:
    """Moves what a stopped `publish` has left; whether there was any."""
    manifest = manifests.read(self._folder)
    if manifest is None:
      return False
    manifests.remove(self.target)
    for path in sorted(self._folder.iterdir()):
      if path.suffix != _NOTE and not manifests.is_manifest(path):
        os.replace(path, self.target / path.name)
    manifests.move(self._folder, self.target)
    self.discard()
    return True

  def _note(self, name: str) -> pathlib.Path:
    return self._folder / f'{name}{_NOTE}'


class _Pickler(pickle.Pickler):
  """Of a file counts its size and when it was written, not where it lies.

  An archive is unpacked into another folder each time.
  """

  def reducer_override(self, value: Any) -> Any:
    if isinstance(value, Blob):
      return Blob, ('', value.offset, value.size, value.modified)
    return NotImplemented


def _digest(items: Sequence[Any]) -> str:
  """Tells other originals of a shard, or another order of them."""
  digest = hashlib.sha256()
  for item in items:
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=4).dump(item)
    digest.update(pickled.getbuffer())
  return digest.hexdigest()
