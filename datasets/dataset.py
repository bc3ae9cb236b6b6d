"""One split of a data set on disk, as the reader and the engine see it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Record files of one split and what they hold.

  Attributes:
    name: the data set's name, as in --dataset_name.
    split: 'train', 'test' or 'validation'.
    files: the shards' paths, sorted.
    num_records: how many records the files hold together.
    num_classes: how many labels there are, background included.
    channels: 1 for grayscale images, 3 for color.
    class_names: a name for each label; the label's number where unknown.
    cut_short: those of the files that end within a record; None where nobody
      has looked.
  """

  name: str
  split: str
  files: tuple[str, ...]
  num_records: int
  num_classes: int
  channels: int
  class_names: tuple[str, ...]
  cut_short: tuple[str, ...] | None = None
