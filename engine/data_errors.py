"""Turns an error of the input pipeline into one that names file and record."""

import contextlib
import os
from collections.abc import Iterator

from datasets.bad_records import find_bad_record, refusal
from datasets.dataset import Dataset
from engine import console
from errors import UserError
from tf_compat import tf


@contextlib.contextmanager
def named(dataset: Dataset, labels_offset: int) -> Iterator[None]:
  """Searches the records for the bad one when TensorFlow fails in the body."""
  try:
    yield
  except (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    # What an error that quotes a record's bytes becomes on its way to Python.
    UnicodeDecodeError,
  ):
    refuse(dataset, labels_offset)
    raise


def refuse(dataset: Dataset, labels_offset: int) -> None:
  """Raises UserError for the first bad record, if there is one."""
  gone = [file for file in dataset.files if not os.path.exists(file)]
  if gone:
    raise UserError(f'{gone[0]} is gone: put it back, or convert again.')
  console.say('Searching the records for a bad one.')
  bad = find_bad_record(dataset, labels_offset=labels_offset)
  if bad is not None:
    raise refusal(bad)
