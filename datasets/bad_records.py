"""Records that cannot be used: which one stopped a run, and doing without.

A record file can be damaged (a checksum that does not match, an end cut off),
and a record that reads can hold no example, a label outside the classes or an
image that does not decode. `find_bad_record` says which it was, after the fact.
`mend` replaces damaged files by copies of what is left of them, for a reader
that leaves out bad records one by one.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import struct
from collections.abc import Iterator

from absl import logging

from datasets import example
from datasets.content import UnusableError
from datasets.dataset import Dataset
from datasets.records import count_records
from errors import UserError
from files import temporary_folder
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Record:
  """One record of a file, or the place where one should be.

  Attributes:
    number: its place in the file, from 0.
    offset: of its first byte in the file.
    data: what it holds; empty if it cannot be read.
    problem: why it cannot be read, as the end of a sentence, or None.
  """

  number: int
  offset: int
  data: bytes
  problem: str | None = None


def find_bad_record(
  dataset: Dataset, channels: int | None = None, labels_offset: int = 0
) -> str | None:
  """Reads a split until the first record that cannot be used.

  Args:
    dataset: the split.
    channels: to decode to; the data set's own if None.
    labels_offset: what is subtracted from labels; lower ones are bad.

  Returns:
    One line with the file, the record's number and offset, and what is wrong;
    None if every record can be used.
  """
  channels = channels or dataset.channels
  with tf.Graph().as_default(), tf.device('/cpu:0'):
    path, whole = tf.placeholder(tf.string, []), tf.placeholder(tf.int64, [])
    records = (
      tf.data.TFRecordDataset(path)
      .take(whole)
      .map(
        lambda data: _use(data, channels, dataset.num_classes, labels_offset),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
      )
    )
    records = tf.data.make_initializable_iterator(records)
    used = records.get_next()
    with _session() as session:
      for file in dataset.files:
        # Beyond these, TensorFlow would make room for whatever length it finds.
        count, ends_well = count_records(pathlib.Path(file))
        session.run(records.initializer, {path: file, whole: count})
        number, error = _first_failure(session, used)
        if number is not None:
          return _describe(file, number, error, dataset, labels_offset)
        if not ends_well:
          return _describe_end(file, count)
  return None


def check_ends(dataset: Dataset) -> None:
  """Refuses a split with a record that does not end within its file.

  TensorFlow makes room for whatever length it finds, if the length's checksum
  is right, and dies of one that is beyond all memory. This reads lengths only.

  Raises:
    UserError: for the first such record.
  """
  files = dataset.files if dataset.cut_short is None else dataset.cut_short
  for file in files:
    count, ends_well = count_records(pathlib.Path(file))
    if not ends_well:
      raise refusal(_describe_end(file, count))


def refusal(bad: str) -> UserError:
  """The error for a bad record, of which `bad` is the line."""
  return UserError(
    f'{bad}. Convert the data again, or leave such records out with '
    '--skip_bad_records.'
  )


@functools.lru_cache(maxsize=8)
def mend(dataset: Dataset) -> Dataset:
  """The split with each damaged file replaced by a copy that can be read.

  In the copy an empty record, which nobody can use, stands for each damaged
  one. After a damaged length nothing in a file can be found any more: as many
  empty records stand for the rest as `num_records` says are missing. The copies
  are deleted when the program ends. All files are read once, to check them.
  """
  files, present, last_damaged = [], 0, None
  for file, (readable, whole) in zip(
    dataset.files, count_readable(dataset.files), strict=True
  ):
    if not whole:
      folder = temporary_folder('mended_records_')
      last_damaged = str(folder / os.path.basename(file))
      readable = _copy_readable(file, last_damaged, readable)
    files.append(file if whole else last_damaged)
    present += readable
  if last_damaged is None:
    return dataset
  missing = dataset.num_records - present
  if missing > 0:
    logging.warning('%d more records are lost with the damaged.', missing)
    _append_empty(last_damaged, missing)
  return dataclasses.replace(dataset, files=tuple(files))


def walk(path: str, checked: int = 0) -> Iterator[Record]:
  """The records of a file in order, up to one whose length is lost.

  Args:
    path: of the record file.
    checked: so many first records are known to be whole.
  """
  with tf.io.gfile.GFile(path, 'rb') as file:
    number = offset = 0
    size = file.size()
    while header := file.read(12):
      problem = None if number < checked else _header_problem(header)
      if problem is None:
        (length,) = struct.unpack('<Q', header[:8])
        if offset + length + 16 > size:
          problem = f'is cut short: {offset + length + 16 - size} bytes miss'
      if problem is not None:
        yield Record(number, offset, b'', problem)
        return
      data, checksum = file.read(length), file.read(4)
      if number >= checked and _checksum(data) != checksum:
        yield Record(number, offset, b'', 'is corrupt: wrong checksum')
      else:
        yield Record(number, offset, data)
      number, offset = number + 1, offset + length + 16


def _header_problem(header: bytes) -> str | None:
  """What is wrong with a record's length and the length's checksum, if any."""
  if len(header) < 12:
    return f'is cut short: {12 - len(header)} bytes of its length miss'
  if _checksum(header[:8]) != header[8:]:
    return 'is corrupt, and so is its length: the rest of the file is lost'
  return None


def _use(
  data: tf.Tensor, channels: int, num_classes: int, labels_offset: int
) -> tf.Tensor:
  """What a reader and a recipe do to a record; gives something small."""
  features = example.parse(data, num_classes, labels_offset)
  encoded = features['image/encoded']
  # Whether other formats decode does not depend on the channels asked for.
  image = tf.cond(
    tf.image.is_jpeg(encoded),
    lambda: tf.image.decode_jpeg(encoded, channels),
    lambda: tf.image.decode_image(encoded, expand_animations=False),
  )
  with tf.control_dependencies([image]):
    return tf.strings.length(data)


def _first_failure(
  session: tf.Session, used: tf.Tensor
) -> tuple[int | None, Exception | None]:
  """(The number of the first bad record, its error), or None of both."""
  number = 0
  try:
    while True:
      session.run(used)
      number += 1
  except tf.errors.OutOfRangeError:
    return None, None
  except (tf.errors.OpError, UnicodeDecodeError) as error:
    # The latter is what an error that quotes a record's bytes becomes.
    return number, error


def _describe(
  path: str,
  number: int,
  error: Exception,
  dataset: Dataset,
  labels_offset: int,
) -> str:
  """The line about the record at which reading a file failed."""
  record = _record(path, number)
  problem = record.problem or _content_problem(
    record.data, error, dataset.num_classes, labels_offset
  )
  return _line(path, record, problem)


def _describe_end(path: str, whole: int) -> str:
  """The line about what follows a file's whole records."""
  record = _record(path, whole)
  return _line(path, record, record.problem)


def _record(path: str, number: int) -> Record:
  """One record of a file in which those before it are whole."""
  return next(r for r in walk(path, number) if r.number == number)


def _line(path: str, record: Record, problem: str) -> str:
  return (
    f'{path}: record {record.number} (from 0) at byte {record.offset} {problem}'
  )


def _content_problem(
  data: bytes, error: Exception, num_classes: int, labels_offset: int
) -> str:
  """What is wrong with a record that reads."""
  try:
    example.read(data, num_classes, labels_offset)
  except UnusableError as unusable:
    return str(unusable)
  return f'has an image that does not decode: {_reason(error)}'


def _reason(error: Exception) -> str:
  """TensorFlow's reason, without the graph's nodes and traces around it."""
  found = re.search(r'([^\n]+)\n\s*\[\[\{\{node', str(error))
  line = found[1] if found else str(error).splitlines()[0]
  return re.split(r'Iterator::\S+: |\}\} ', line)[-1].strip()


def count_readable(files: tuple[str, ...]) -> Iterator[tuple[int, bool]]:
  """For each file, the records before the first damage, and if it is whole."""
  with tf.Graph().as_default(), tf.device('/cpu:0'):
    path, whole = tf.placeholder(tf.string, []), tf.placeholder(tf.int64, [])
    records = tf.data.TFRecordDataset(path).take(whole)
    strict, lenient = _count(records), _count(records.ignore_errors())
    with _session() as session:
      for file in files:
        count, ends_well = count_records(pathlib.Path(file))
        place = {path: file, whole: count}
        try:
          yield int(session.run(strict, place)), ends_well
        except tf.errors.DataLossError:
          yield int(session.run(lenient, place)), False


def _count(records: tf.data.Dataset) -> tf.Tensor:
  """How many records there are."""
  return records.reduce(tf.constant(0, tf.int64), lambda count, _: count + 1)


def _copy_readable(source: str, target: str, readable: int) -> int:
  """Copies a file's records, empty for damaged ones, and says how many."""
  count = 0
  with tf.io.TFRecordWriter(target) as writer:
    for record in walk(source, readable):
      writer.write(record.data)
      count += 1
      if record.problem:
        logging.warning(
          '%s: record %d (from 0) at byte %d %s; left out.',
          source,
          record.number,
          record.offset,
          record.problem,
        )
  return count


def _append_empty(path: str, count: int) -> None:
  """Writes empty records after those of a file."""
  length = bytes(8)
  record = length + _checksum(length) + _checksum(b'')
  with tf.io.gfile.GFile(path, 'ab') as file:
    file.write(record * count)


@contextlib.contextmanager
def _session() -> Iterator[tf.Session]:
  """A session that leaves the GPUs to the network."""
  config = tf.ConfigProto(device_count={'GPU': 0})
  with tf.Session(config=config) as session:
    yield session


def _checksum(data: bytes) -> bytes:
  """The masked CRC-32C that TFRecord files keep of lengths and of data."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
  crc ^= 0xFFFFFFFF
  masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
  return struct.pack('<I', masked)


def _crc_table() -> tuple[int, ...]:
  """The CRC-32C of each byte (Castagnoli's polynomial, bits reversed)."""
  table = list(range(256))
  for _ in range(8):
    table = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in table]
  return tuple(table)


_CRC_TABLE = _crc_table()
