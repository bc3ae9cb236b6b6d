"""Turns an error of the input pipeline into one that names file and record."""

import contextlib
from collections.abc import Iterator

from datasets import reader
from engine.resolve import Setup
from errors import UserError
from tf_compat import tf


@contextlib.contextmanager
def named(setup: Setup) -> Iterator[None]:
  """Searches the records for the bad one when TensorFlow fails in the body."""
  try:
    yield
  except (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
  ) as error:
    bad = reader.find_bad_record(
      setup.dataset, setup.channels, setup.job.labels_offset
    )
    if bad is None:
      raise
    raise UserError(
      f'{bad}. Convert the data again, or leave such records out with '
      '--skip_bad_records.'
    ) from error
