"""A hidden folder that contains a data set until its conversion is complete.

Each finished shard has a report next to it, with a digest of its originals and
the results. A resumed conversion skips these shards, unless an original has
another size or modification time. When all shards are finished, the manifest
is written to the hidden folder, and everything moves to its final folder, the
manifest last. If that is interrupted, the next call moves the rest.
"""

import collections
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
from datasets.archive import Blob
from datasets.example_features import LABEL, ExampleFeatures
from datasets.manifest import Manifest
from datasets.process_pool import Rejection
from datasets.records import serialize, write_shard

REJECTED = 'rejected.csv'
_FOLDER = '.conversion'
_REPORT = '.done'  # suffix of a shard's report after the shard's name


@dataclasses.dataclass(frozen=True)
class ShardReport:
  """Result of converting a shard's originals.

  Attributes:
    originals: digest of the originals.
    records: number of records in the shard.
    bytes: size of the shard.
    rejected: (name, reason) of each original that cannot be used.
    notes: note -> number of records.
    labels: label, as JSON has it, -> number of records.
  """

  originals: str
  records: int
  bytes: int
  rejected: tuple[tuple[str, str], ...]
  notes: dict[str, int]
  labels: dict[str, int]


def is_unfinished(folder: pathlib.Path) -> bool:
  """Whether a conversion into this folder is running or was interrupted."""
  return (folder / _FOLDER).is_dir()


class Staging:
  """The hidden folder of a conversion.

  Args:
    folder: the final folder.
    settings: what determines the records beside the originals; shards that were
      finished with other settings are not resumed.
  """

  def __init__(self, folder: pathlib.Path, settings: str = ''):
    self.target = folder
    self._settings = settings
    self._folder = folder / _FOLDER

  def open(self, shards: Collection[str], resume: bool) -> None:
    """Creates the folder; if `resume`, keeps files of these shards only."""
    if not resume:
      self.discard()
    self._folder.mkdir(exist_ok=True)
    for path in self._folder.iterdir():
      # `publish` moves all files of the folder.
      if path.name.removesuffix(_REPORT) not in shards:
        path.unlink()

  def discard(self) -> None:
    shutil.rmtree(self._folder, ignore_errors=True)

  def discard_if_empty(self) -> None:
    if self._folder.is_dir() and not any(self._folder.glob(f'*{_REPORT}')):
      self.discard()

  def find(self, name: str, items: Sequence[Any]) -> ShardReport | None:
    """Returns the report of a finished shard of these items, or None."""
    try:
      content = json.loads(self._report(name).read_text(encoding='utf-8'))
      report = ShardReport(**content)
      size = (self._folder / name).stat().st_size
    except (OSError, ValueError, TypeError):
      return None
    if (report.originals, report.bytes) != (self._digest(items), size):
      return None
    rejected = tuple((name, reason) for name, reason in report.rejected)
    return dataclasses.replace(report, rejected=rejected)

  def write(
    self,
    name: str,
    items: Sequence[Any],
    results: Iterable[ExampleFeatures | Rejection],
  ) -> ShardReport:
    """Writes a shard, and then its report."""
    rejected: list[tuple[str, str]] = []
    notes: collections.Counter[str] = collections.Counter()
    labels: collections.Counter[str] = collections.Counter()

    def usable():
      for result in results:
        if isinstance(result, Rejection):
          rejected.append((result.name, result.reason))
          continue
        notes.update(result.notes)
        labels[str(result.features[LABEL])] += 1
        yield result

    path = self._folder / name
    records = write_shard(path, usable(), lambda r: serialize(r.features))
    report = ShardReport(
      originals=self._digest(items),
      records=records,
      bytes=path.stat().st_size,
      rejected=tuple(rejected),
      notes=dict(notes),
      labels=dict(labels),
    )
    files.write_text(self._report(name), json.dumps(dataclasses.asdict(report)))
    return report

  def publish(
    self, manifest: Manifest, class_names: Sequence[str], rejected: str
  ) -> None:
    """Completes the data set and moves it to its final folder."""
    manifests.write_labels(class_names, self._folder)
    (self.target / REJECTED).unlink(missing_ok=True)
    if rejected:
      files.write_text(self._folder / REJECTED, rejected)
    manifests.write(manifest, self._folder)
    self.finish()

  def finish(self) -> None:
    """Completes a `publish` that was interrupted, if there was one."""
    manifest = manifests.read(self._folder)
    if manifest is None:
      return
    manifests.remove(self.target)
    for path in sorted(self._folder.iterdir()):
      if path.suffix != _REPORT and not manifests.is_manifest(path):
        os.replace(path, self.target / path.name)
    manifests.move(self._folder, self.target)
    self.discard()

  def _digest(self, items: Sequence[Any]) -> str:
    """Returns a digest of the settings, and of the items in their order."""
    digest = hashlib.sha256(self._settings.encode())
    for item in items:
      pickled = io.BytesIO()
      _Pickler(pickled, protocol=4).dump(item)
      digest.update(pickled.getbuffer())
    return digest.hexdigest()

  def _report(self, name: str) -> pathlib.Path:
    return self._folder / f'{name}{_REPORT}'


class _Pickler(pickle.Pickler):
  """Pickles a Blob without its path.

  Archives are unpacked into another folder each time.
  """

  def reducer_override(self, value: Any) -> Any:
    if isinstance(value, Blob):
      return Blob, ('', value.offset, value.size, value.modified)
    return NotImplemented
