"""A split of a data set on disk, as the reader and the engine see it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Record files of one split and a description of their contents.

  Attributes:
    name: the data set's name, as in --dataset_name.
    split: 'train', 'test' or 'validation'.
    files: the shards' paths, sorted.
    num_records: number of records in all files.
    num_classes: number of labels, background included.
    channels: 1 for grayscale images, 3 for color.
    class_names: a name for each label; the label's number where unknown.
    truncated: the files that end within a record; None if not checked.
  """

  name: str
  split: str
  files: tuple[str, ...]
  num_records: int
  num_classes: int
  channels: int
  class_names: tuple[str, ...]
  truncated: tuple[str, ...] | None = None
