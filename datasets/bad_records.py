"""Finds records that cannot be used, and replaces damaged record files.

A record file can be damaged (a wrong checksum, a truncated end). An intact
record can contain no example, a label outside the classes, or an image that
does not decode. `find_bad_record` reports which record made reading fail.
`mend` replaces damaged files by copies of their readable records, for a reader
that skips bad records one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import struct
from collections.abc import Iterator
from typing import Any

from absl import logging

from datasets import example, record_files
from datasets.dataset import Dataset
from datasets.example_features import UnusableError
from datasets.records import count_records
from errors import UserError
from files import temporary_folder
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Record:
  """One record of a file, readable or damaged.

  Attributes:
    number: its index in the file, from 0.
    offset: position of its first byte in the file.
    data: its content; empty if it cannot be read.
    problem: why it cannot be read, as the end of a sentence, or None.
  """

  number: int
  offset: int
  data: bytes
  problem: str | None = None


def find_bad_record(
  dataset: Dataset, channels: int | None = None, labels_offset: int = 0
) -> str | None:
  """Reads a split up to the first record that cannot be used.

  Args:
    dataset: the split.
    channels: channels of decoded images; the data set's own if None.
    labels_offset: number subtracted from labels; lower labels are bad.

  Returns:
    One line with the file, the record's number and offset, and the problem;
    None if every record can be used.
  """
  channels = channels or dataset.channels
  with tf.Graph().as_default(), tf.device('/cpu:0'):
    first = _FirstRecords()
    records = first.records.map(
      lambda data: _decode(data, channels, dataset.num_classes, labels_offset),
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
    )
    records = tf.data.make_initializable_iterator(records)
    decoded = records.get_next()
    with _session() as session:
      for file in dataset.files:
        count, ends_well = count_records(pathlib.Path(file))
        session.run(records.initializer, first.feed(file, count))
        number, error = _first_failure(session, decoded)
        if number is not None and error is not None:
          return _describe(file, number, error, dataset, labels_offset)
        if not ends_well:
          return _describe_end(file, count)
  return None


def check_ends(dataset: Dataset) -> None:
  """Raises UserError if a record of a split extends beyond its file.

  TensorFlow allocates whatever length a record states under a correct
  checksum, and aborts if memory does not suffice. This reads lengths only.

  Raises:
    UserError: for the first such record.
  """
  files = dataset.files if dataset.truncated is None else dataset.truncated
  for file in files:
    count, ends_well = count_records(pathlib.Path(file))
    if not ends_well:
      raise refusal(_describe_end(file, count))


def refusal(bad: str) -> UserError:
  """Returns the error for a bad record described by the line `bad`."""
  return UserError(
    f'{bad}. Convert the data again, or skip such records with '
    '--skip_bad_records.'
  )


@functools.lru_cache(maxsize=8)
def mend(dataset: Dataset) -> Dataset:
  """Returns the split with each damaged file replaced by a readable copy.

  In the copy, an empty record, which always counts as bad, replaces each
  damaged one. After a damaged length, no further record of the file can be
  located: empty records replace as many as are missing from `num_records`.
  The copies are deleted when the program ends. This reads every file once.
  """
  files: list[str] = []
  present = 0
  last_damaged: str | None = None
  for file, (readable, intact) in zip(
    dataset.files, count_readable(dataset.files), strict=True
  ):
    if not intact:
      folder = temporary_folder('mended_records_')
      last_damaged = str(folder / os.path.basename(file))
      readable = _copy_readable(file, last_damaged, readable)
      file = last_damaged
    files.append(file)
    present += readable
  if last_damaged is None:
    return dataset
  missing = dataset.num_records - present
  if missing > 0:
    logging.warning('%d more records are lost after damaged ones.', missing)
    _append_empty(last_damaged, missing)
  return dataclasses.replace(dataset, files=tuple(files))


def walk(path: str, checked: int = 0) -> Iterator[Record]:
  """Yields the records of a file in order, up to the first damaged length.

  Args:
    path: path of the record file.
    checked: number of leading records that are known to be intact.
  """
  with record_files.open_bytes(path) as file:
    number, offset, problem = 0, 0, None
    while header := file.read(record_files.HEADER):
      problem = None if number < checked else _header_problem(header)
      length = 0 if problem else struct.unpack('<Q', header[:8])[0]
      if missing := file.missing(length + record_files.FOOTER):
        problem = problem or f'is truncated: {missing} bytes are missing'
      if problem:
        break
      data, checksum = file.read(length), file.read(record_files.FOOTER)
      if number >= checked and record_files.checksum(data) != checksum:
        yield Record(number, offset, b'', 'is corrupt: wrong checksum')
      else:
        yield Record(number, offset, data)
      number, offset = number + 1, offset + length + 16
    if problem or file.damage:
      yield Record(number, offset, b'', file.damage or problem)


def _header_problem(header: bytes) -> str | None:
  """Returns the problem of a record's length and its checksum, or None."""
  missing = record_files.HEADER - len(header)
  if missing:
    return f'is truncated: {missing} bytes of its length are missing'
  if not record_files.has_intact_length(header):
    return 'is corrupt, and so is its length: the rest of the file is lost'
  return None


class _FirstRecords:
  """The first records of a file; path and number are fed to the session.

  TensorFlow would allocate whatever length a truncated record states.
  """

  def __init__(self) -> None:
    self._path = tf.placeholder(tf.string, [])
    self._compression = tf.placeholder(tf.string, [])
    self._limit = tf.placeholder(tf.int64, [])
    records = tf.data.TFRecordDataset(self._path, self._compression)
    self.records = records.take(self._limit)

  def feed(self, file: str, limit: int) -> dict[tf.Tensor, Any]:
    """Returns the feed for the first `limit` records of a file."""
    return {
      self._path: file,
      self._compression: record_files.compression(file),
      self._limit: limit,
    }


def _decode(
  data: tf.Tensor, channels: int, num_classes: int, labels_offset: int
) -> tf.Tensor:
  """Parses a record and decodes its image; returns a small tensor."""
  features = example.parse(data, num_classes, labels_offset)
  encoded = features['image/encoded']
  # For other formats, decoding does not depend on the number of channels.
  image = tf.cond(
    tf.image.is_jpeg(encoded),
    lambda: tf.image.decode_jpeg(encoded, channels),
    lambda: tf.image.decode_image(encoded, expand_animations=False),
  )
  with tf.control_dependencies([image]):
    return tf.strings.length(data)


def _first_failure(
  session: tf.Session, decoded: tf.Tensor
) -> tuple[int | None, Exception | None]:
  """Returns (number of the first bad record, its error), or (None, None)."""
  number = 0
  try:
    while True:
      session.run(decoded)
      number += 1
  except tf.errors.OutOfRangeError:
    return None, None
  except (tf.errors.OpError, UnicodeDecodeError) as error:
    # An error that quotes a record's bytes becomes a UnicodeDecodeError.
    return number, error


def _describe(
  path: str,
  number: int,
  error: Exception,
  dataset: Dataset,
  labels_offset: int,
) -> str:
  """Returns the line about the record at which reading a file failed."""
  record = _record(path, number)
  problem = record.problem or _content_problem(
    record.data, error, dataset.num_classes, labels_offset
  )
  return _line(path, record, problem)


def _describe_end(path: str, count: int) -> str:
  """Returns the line about the truncated record after `count` complete ones."""
  record = _record(path, count)
  return _line(path, record, record.problem or '')


def _record(path: str, number: int) -> Record:
  """Returns a record of a file; all records before it must be intact."""
  return next(r for r in walk(path, number) if r.number == number)


def _line(path: str, record: Record, problem: str) -> str:
  return (
    f'{path}: record {record.number} (from 0) at byte {record.offset} {problem}'
  )


def _content_problem(
  data: bytes, error: Exception, num_classes: int, labels_offset: int
) -> str:
  """Returns the problem of a record that can be read."""
  try:
    example.read(data, num_classes, labels_offset)
  except UnusableError as unusable:
    return str(unusable)
  return f'has an image that does not decode: {_reason(error)}'


def _reason(error: Exception) -> str:
  """Returns the cause in a TensorFlow error, without nodes and traces."""
  match = re.search(r'([^\n]+)\n\s*\[\[\{\{node', str(error))
  line = match[1] if match else str(error).splitlines()[0]
  return re.split(r'Iterator::\S+: |\}\} ', line)[-1].strip()


def count_readable(files: tuple[str, ...]) -> Iterator[tuple[int, bool]]:
  """Yields (records before the first damage, whether intact) for each file."""
  with tf.Graph().as_default(), tf.device('/cpu:0'):
    first = _FirstRecords()
    strict = _count(first.records)
    lenient = _count(first.records.ignore_errors())
    with _session() as session:
      for file in files:
        count, ends_well = count_records(pathlib.Path(file))
        feed = first.feed(file, count)
        try:
          yield int(session.run(strict, feed)), ends_well
        except tf.errors.DataLossError:
          yield int(session.run(lenient, feed)), False


def _count(records: tf.data.Dataset) -> tf.Tensor:
  """Counts the records."""
  return records.reduce(tf.constant(0, tf.int64), lambda count, _: count + 1)


def _copy_readable(source: str, target: str, readable: int) -> int:
  """Copies a file's records, damaged ones as empty; returns their number."""
  count = 0
  with tf.io.TFRecordWriter(target) as writer:
    for record in walk(source, readable):
      writer.write(record.data)
      count += 1
      if record.problem:
        logging.warning(
          '%s: record %d (from 0) at byte %d %s; skipped.',
          source,
          record.number,
          record.offset,
          record.problem,
        )
  return count


def _append_empty(path: str, count: int) -> None:
  """Appends empty records to a file."""
  length = bytes(8)
  record = length + record_files.checksum(length) + record_files.checksum(b'')
  with tf.io.gfile.GFile(path, 'ab') as file:
    file.write(record * count)


@contextlib.contextmanager
def _session() -> Iterator[tf.Session]:
  """Yields a session that leaves the GPUs to the network."""
  config = tf.ConfigProto(device_count={'GPU': 0})
  with tf.Session(config=config) as session:
    yield session
