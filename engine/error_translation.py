"""Translates errors of the input, of files and of servers into UserErrors."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterator

import files
from datasets import reader
from datasets.bad_records import find_bad_record, refusal
from datasets.dataset import Dataset
from deployment import grpc_server
from engine import console
from errors import UserError
from tf_compat import tf

# How often to connect to the server at --master, and how many refusals in a row
# mean that it is lost.
SECONDS_BETWEEN_PROBES = 2.0
MOST_REFUSALS = 3


@contextlib.contextmanager
def translate_data_errors(
  dataset: Dataset, labels_offset: int
) -> Iterator[None]:
  """Raises UserError naming the bad record if reading fails in the body."""
  try:
    yield
  except (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    # Raised instead if the error's message quotes a record's bytes.
    UnicodeDecodeError,
  ) as error:
    refuse_bad_record(dataset, labels_offset, reader.NONE_USABLE in str(error))
    raise


def refuse_bad_record(
  dataset: Dataset, labels_offset: int, is_none_usable: bool = False
) -> None:
  """Raises UserError for the first bad record, if there is one.

  Args:
    dataset: the split.
    labels_offset: value of --labels_offset.
    is_none_usable: whether there are only bad records.
  """
  missing = [file for file in dataset.files if not os.path.exists(file)]
  if missing:
    raise UserError(
      f'{missing[0]} no longer exists: restore it, or convert again.'
    )
  console.say('Searching for the bad record.')
  bad = find_bad_record(dataset, labels_offset=labels_offset)
  if bad is None:
    return
  label = re.search(r'label (\d+) is outside .*labels_offset', bad)
  if label and int(label[1]) < labels_offset:
    # To skip such records would drop a class.
    raise UserError(
      f'{bad}. The labels of {dataset.name} start at {label[1]}: omit '
      '--labels_offset, which drops a background class that it does not have.'
    )
  if is_none_usable:
    raise UserError(
      f'{bad}, and none of the records that this process reads can be used: '
      'convert the data again.'
    )
  raise refusal(bad)


# The system's messages: TensorFlow passes on the text, not the error number.
_DISK_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))


def disk_full_reason(error: BaseException) -> str | None:
  """Returns the line of an error that reports a full disk, or None."""
  lines = (line.strip() for line in str(error).splitlines())
  return next(
    (line for line in lines if any(f in line for f in _DISK_FULL)), None
  )


@contextlib.contextmanager
def translate_lost_server(master: str) -> Iterator[None]:
  """Raises UserError if the body fails because the server at --master is lost.

  TensorFlow waits forever for a server whose process has ended, and nothing
  interrupts that wait. So a thread ends this process if connections to the server
  are refused. A machine that vanished, or a stopped process, refuses none.

  Args:
    master: the server; '' for this process, which needs no watch.
  """
  if not master:
    yield
    return
  address = grpc_server.address_of(master)
  is_over = threading.Event()
  watch = threading.Thread(
    target=_watch, args=[master, address, is_over], daemon=True
  )
  watch.start()
  try:
    yield
  except grpc_server.peer_lost_errors() as error:
    raise _lost_server(master, grpc_server.reason(error)) from error
  finally:
    is_over.set()
    watch.join()


def _watch(master: str, address: str, is_over: threading.Event) -> None:
  """Ends the process once the server refuses connections."""
  refusals = 0
  while not is_over.wait(SECONDS_BETWEEN_PROBES):
    refusals = refusals + 1 if grpc_server.refuses(address) else 0
    if refusals == MOST_REFUSALS and not is_over.is_set():
      try:
        console.say(f'error: {_lost_server(master, "it does not answer")}')
        files.delete_temporary_folders()
      finally:
        os._exit(2)


def _lost_server(master: str, why: str) -> UserError:
  """Returns the error for a server that was lost."""
  return UserError(
    f'The server at --master={master} was lost ({why}): start it again, and run '
    'the same command, which resumes from the last checkpoint; or omit --master '
    'to run in this process.'
  )


@contextlib.contextmanager
def translate_file_errors() -> Iterator[None]:
  """Raises UserError if the body fails by a full disk or a file's state."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    line = disk_full_reason(error)
    if line is not None:
      raise UserError(
        f'The disk is full: {line}. Complete files remain; free disk space, '
        'and the same command resumes.'
      ) from error
    if isinstance(error, OSError) and error.filename is not None:
      path = error.filename2 or error.filename
      raise UserError(f'Cannot use {path}: {error.strerror}.') from error
    raise
