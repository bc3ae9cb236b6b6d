"""Reports on data sets with known defects."""

import gzip
import io
import os
import struct
import subprocess

import numpy as np
import pytest
from original_files import made, photo_bytes
from PIL import Image
from tiny_data import encode_example

from datasets import record_files, records
from engine.config.jobs import InspectJob
from errors import UserError
from tools import inspection


def same_pixels():
  """Two different encodings of an image."""
  image = Image.fromarray(made(10, 14, 3, seed=99))
  encoded = []
  for level in (1, 9):
    file = io.BytesIO()
    image.save(file, 'PNG', compress_level=level)
    encoded.append(file.getvalue())
  assert encoded[0] != encoded[1]
  return encoded


def record(data, label, **more):
  return encode_example(data, 'png', label, 10, 14, **more)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Two splits of digits, with one defect of each kind."""
  folder = tmp_path_factory.mktemp('inspected')
  once, again = same_pixels()
  box = dict(
    zip(('ymin', 'xmin', 'ymax', 'xmax'), (0.1, 0.0, 1.0, 1.0), strict=True)
  )
  boxes = {f'object__bbox__{side}': [v] for side, v in box.items()}
  train = [
    record(photo_bytes('PNG', size=(14, 10), seed=1), 3, **boxes),
    record(once, 4),
    record(photo_bytes('PNG', size=(14, 10), seed=2), 12),
    record(b'no image', 1),
    b'no example',
    record(photo_bytes('WEBP', size=(14, 10)), 1),
    record(photo_bytes('JPEG', 'L', size=(20, 30)), 3),
    record(photo_bytes('PNG', size=(14, 10))[:-12], 5),
    record(photo_bytes('PNG', size=(14, 10), seed=3), 5),
  ]
  test = [record(again, 4), record(photo_bytes('PNG', seed=4), 0)]
  for split, examples in (('train', train), ('test', test)):
    path = folder / f'digits_{split}.tfrecord'
    records.write_shard(path, examples, lambda example: example)
  return folder, train


def inspect(folder, capsys, **options):
  options = {'dataset_name': 'digits', 'num_processes': 1, **options}
  job = InspectJob(dataset_dir=str(folder), **options)
  report = inspection.inspect(job)
  printed = capsys.readouterr()
  assert printed.err == ''
  return report, printed.out


def test_usable_and_bad_records_are_counted(folder, capsys):
  report, text = inspect(folder[0], capsys)
  train = report.splits['train']
  assert train.classes == {3: 2, 4: 1, 5: 1}
  assert train.kinds == {'PNG RGB': 3, 'JPEG L': 1}
  assert (train.widths, train.heights) == ([14, 14, 20, 14], [10, 10, 30, 10])
  assert 'train: 9 records in 1 files, 5 of them cannot be used' in text
  assert 'formats: 3 PNG RGB, 1 JPEG L' in text
  assert 'width 14 to 20 (median 14), height 10 to 30 (median 10)' in text
  assert '\n  3:three  2  0\n' in text
  assert report.exit_code == 1


def test_classes_without_records_are_named(folder, capsys):
  _, text = inspect(folder[0], capsys)
  # Label 12 is outside the classes, and the records of 1 cannot be used.
  assert (
    '\n  7 classes without usable records: 0:zero, 1:one, 2:two, 6:six, '
    '7:seven, 8:eight, 9:nine\ntest: '
  ) in text
  assert '\n  8 classes without usable records: 1:one, 2:two, 3:' in text


def test_of_many_classes_without_records_the_first_are_named(tmp_path, capsys):
  records.write_shard(
    tmp_path / 'wide_train.tfrecord',
    [record(photo_bytes('PNG'), label) for label in (0, 29)],
    bytes,
  )
  (tmp_path / 'labels.txt').write_text(
    ''.join(f'{label}:name{label}\n' for label in range(30))
  )
  _, text = inspect(tmp_path, capsys, dataset_name='wide')
  assert '\n  28 classes without usable records: 1:name1, 2:name2, ' in text
  assert ', 20:name20 and 8 more\n' in text


def test_compressed_files_have_the_same_report(folder, tmp_path, capsys):
  for path in folder[0].glob('*.tfrecord'):
    packed = tmp_path / f'{path.name}.gz'
    packed.write_bytes(gzip.compress(path.read_bytes()))
  _, expected = inspect(folder[0], capsys)
  _, text = inspect(tmp_path, capsys)
  text = text.replace(f'{tmp_path}/', f'{folder[0]}/')
  assert text.replace('.tfrecord.gz', '.tfrecord') == expected


def test_bad_records_are_listed_with_file_and_offset(folder, capsys):
  folder, train = folder
  _, text = inspect(folder, capsys)
  path = folder / 'digits_train.tfrecord'
  offsets = np.cumsum([0] + [len(data) + 16 for data in train])
  for number, problem in (
    (2, 'has a wrong label: label 12 is outside 0..9'),
    (3, 'has an image that is not an image in a known format: it begins with'),
    (4, 'is not a tf.train.Example'),
    (5, 'has an image that is WEBP, which TensorFlow cannot decode'),
    (7, 'has an image that does not decode: PNG without an end'),
  ):
    record_name = f'record {number} (from 0) at byte {offsets[number]}'
    assert f'{path}: {record_name} {problem}' in text


EPS = (
  b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 14 10\n%%EndComments\n'
  b'(never run) print\n%%EOF\n'
)


def test_an_image_for_which_pillow_starts_a_program_is_not_opened(
  tmp_path, capsys, monkeypatch
):
  with Image.open(io.BytesIO(EPS)) as image:
    assert image.format == 'EPS'  # Pillow would open it.
  monkeypatch.setattr(subprocess, 'Popen', None)
  records.write_shard(
    tmp_path / 'digits_train.tfrecord', [record(EPS, 3)], bytes
  )
  _, text = inspect(tmp_path, capsys)
  assert 'record 0 (from 0) at byte 0 has an image that is not an image' in text


def test_images_in_several_splits_are_recognized_by_their_pixels(
  folder, capsys
):
  report, text = inspect(folder[0], capsys)
  (names,) = report.duplicates
  assert 'digits_train.tfrecord: record 1 ' in names[0]
  assert 'digits_test.tfrecord: record 0 ' in names[1]
  assert 'images in several splits: 1\n' in text


def flip_a_bit(data):
  (length,) = struct.unpack('<Q', data[:8])
  data[12 + length // 2] ^= 1


def truncate(data):
  del data[-40:]


def claim_a_huge_length(data):
  """A length larger than any memory, with a correct checksum."""
  data[:8] = struct.pack('<Q', 1 << 50)
  data[8:12] = record_files.checksum(bytes(data[:8]))


@pytest.mark.parametrize(
  ('damage', 'good', 'problem'),
  [
    (flip_a_bit, 3, 'record 0 (from 0) at byte 0 is corrupt: wrong checksum'),
    (truncate, 3, 'is truncated: '),
    (
      claim_a_huge_length,
      0,
      'record 0 (from 0) at byte 0 is truncated: 1125899',
    ),
  ],
)
def test_damaged_files_are_reported(
  folder, tmp_path, capsys, damage, good, problem
):
  data = bytearray((folder[0] / 'digits_train.tfrecord').read_bytes())
  damage(data)
  (tmp_path / 'digits_train.tfrecord').write_bytes(data)
  report, text = inspect(tmp_path, capsys)
  assert sum(report.splits['train'].classes.values()) == good
  assert problem in text
  assert report.exit_code == 1


def test_the_sheet_shows_images_and_network_inputs(folder, tmp_path, capsys):
  output = tmp_path / 'sheet.png'
  options = {'model_name': 'cifarnet', 'output': str(output)}
  report, text = inspect(folder[0], capsys, **options)
  assert f'contact sheet: {output}' in text
  pixels = np.asarray(Image.open(output).convert('RGB')).reshape(-1, 3)
  # The box is orange, the noise around it gray.
  assert (np.abs(pixels.astype(int) - (0xE6, 0x9F, 0)).max(1) < 8).sum() > 20
  assert len(report.splits['train'].samples) == 4


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'dataset_dir': None}, '--dataset_dir is required'),
    ({'dataset_name': None}, 'has no dataset.json that names the data set'),
    ({'output': 'sheet.jpg'}, r'--output=sheet\.jpg: must be a \.png file'),
    ({'output': 'gone/sheet.png'}, r'--output=gone/sheet\.png: must be a'),
    ({'dataset_dir': 'gone', 'dataset_name': None}, 'There is no folder gone'),
    ({'model_name': 'lenett'}, "Did you mean 'lenet'"),
    ({'dataset_name': 'mnist'}, "No records of 'mnist' in"),
  ],
)
def test_wrong_flags(tmp_path, options, message):
  (tmp_path / 'digits_train.tfrecord').touch()
  flags = {'dataset_dir': str(tmp_path), 'dataset_name': 'digits', **options}
  with pytest.raises(UserError, match=message):
    inspection.inspect(InspectJob(**flags))


def test_an_unwritable_sheet_is_refused_before_records_are_read(
  folder, tmp_path, monkeypatch
):
  monkeypatch.setattr(os, 'access', lambda path, mode: path != tmp_path)
  monkeypatch.setattr(inspection, '_inspect_split', None)
  job = InspectJob(
    dataset_dir=str(folder[0]),
    dataset_name='digits',
    output=str(tmp_path / 'sheet.png'),
  )
  with pytest.raises(UserError, match=r'in an existing, writable folder'):
    inspection.inspect(job)


@pytest.mark.parametrize(
  ('num_images', 'expected'),
  [
    (1, [0]),
    (3, [0, 1, 5]),
    (13, [0, 0, 1, 1, 5]),
    (40, [0] * 4 + [1, 1, 5]),
  ],
)
def test_samples_are_spread_over_classes(tmp_path, num_images, expected):
  """In records that are sorted by class: at most one more of a class."""
  examples = [
    record(photo_bytes('PNG', size=(14, 10), seed=seed), label)
    for seed, label in enumerate([0] * 6 + [1] * 2 + [5])
  ]
  path = tmp_path / 'digits_train.tfrecord'
  records.write_shard(path, examples, lambda example: example)
  report = inspection.inspect(
    InspectJob(
      dataset_dir=str(tmp_path),
      dataset_name='digits',
      num_images=num_images,
      num_processes=1,
    )
  )
  labels = [sample.label for sample in report.splits['train'].samples]
  assert sorted(labels) == sorted(expected)
