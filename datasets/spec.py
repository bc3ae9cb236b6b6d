"""One record per data set: everything that is keyed by its name."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets.content import Content
from datasets.download import Download


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
  """A data set: how its records are named, and how they are made.

  Attributes:
    name: as in --dataset_name.
    num_classes: how many labels there are, background included.
    channels: 1 for grayscale images, 3 for color.
    class_names: one name a label.
    splits: the splits that the originals have, 'train' first.
    evaluation_split: the split to evaluate on unless told otherwise.
    file_pattern: the shards' names; {split} stands for the split, {shard} for
      00000-of-0000N. A pattern without {shard} is one file a split.
    homepage: where the originals come from.
    read: originals -> for each split that is there, one item an image. Items
      are small (a path), views of an array that is in memory anyway, or read
      when the sequence is gone through.
    encode: item -> Content, or UnusableError; it runs in worker processes, so that
      it must be importable without TensorFlow.
    max_shards: split -> how many shards the whole original makes; 1 if absent.
    records_per_shard: fewer shards are made than that, so that none holds
      fewer records.
    downloads: the files to fetch when no originals are given.
    embedded: True if the originals come with a package, so that `read` takes
      None.
  """

  name: str
  num_classes: int
  channels: int
  class_names: tuple[str, ...]
  splits: tuple[str, ...]
  evaluation_split: str
  file_pattern: str
  homepage: str
  read: Callable[[pathlib.Path | None], Mapping[str, Sequence[Any]]]
  encode: Callable[[Any], Content]
  max_shards: Mapping[str, int] = dataclasses.field(default_factory=dict)
  records_per_shard: int = 128
  downloads: tuple[Download, ...] = ()
  embedded: bool = False
