"""The spec of a data set: everything keyed by its name."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets.download import Download
from datasets.example_features import ExampleFeatures


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
  """A data set: the names of its record files, and its conversion.

  Attributes:
    name: name as in --dataset_name.
    num_classes: number of labels, background included.
    channels: 1 for grayscale images, 3 for color.
    class_names: one name per label.
    splits: splits of the originals, 'train' first.
    evaluation_split: default split for evaluation.
    file_pattern: names of the shards; {split} stands for the split, {shard} for
      00000-of-0000N. Without {shard}, each split is one file.
    homepage: URL of the originals.
    read: path of the originals -> split -> one item per image. An item is small
      (a path), a view of an array in memory, or read during iteration.
    encode: item -> features of its record; raises UnusableError. It runs in
      worker processes and must be importable without TensorFlow.
    max_shards: split -> number of shards of the complete data set; default 1.
    records_per_shard: minimum number of records per shard; smaller data sets
      have fewer shards.
    downloads: files to download if no originals are given.
    embedded: True if a package contains the originals; `read` then takes None.
    first_label: smallest label of the originals; records have no smaller one.
    folders: folder of the originals -> label of the photos in it, for sets that
      have a folder for each class.
  """

  name: str
  num_classes: int
  channels: int
  class_names: tuple[str, ...]
  splits: tuple[str, ...]
  evaluation_split: str
  file_pattern: str
  homepage: str
  read: Callable[[Any], Mapping[str, Sequence[Any]]]
  encode: Callable[[Any], ExampleFeatures]
  max_shards: Mapping[str, int] = dataclasses.field(default_factory=dict)
  records_per_shard: int = 128
  downloads: tuple[Download, ...] = ()
  embedded: bool = False
  first_label: int = 0
  folders: Mapping[str, int] = dataclasses.field(default_factory=dict)
