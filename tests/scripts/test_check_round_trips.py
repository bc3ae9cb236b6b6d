"""The check of round trips: passes correct data and detects errors."""

import importlib.util
import sys
from pathlib import Path

import pytest

from datasets import convert as converters

sys.path.append(str(Path(__file__).parents[1] / 'datasets'))
from original_files import cifar_files, write_files, write_idx


def load():
  path = Path(__file__).parents[2] / 'scripts/check_round_trips.py'
  spec = importlib.util.spec_from_file_location('check_round_trips', path)
  script = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(script)
  return script


SCRIPT = load()


def convert(name, source, target):
  """Converts as the program does, without its start-up time."""
  notes = converters.convert(name, str(target), str(source)).notes
  return ''.join(
    f'  {n} of the originals: {note}\n' for note, n in notes.items()
  )


def write_originals(folder, name):
  if name == 'cifar10':
    write_files(folder / name, cifar_files('binary'))
  else:
    write_idx(folder / name, compress=name == 'fashion_mnist')
  return folder / name


@pytest.mark.parametrize(
  ('name', 'count'), [('mnist', 30), ('fashion_mnist', 30), ('cifar10', 24)]
)
def test_digits_and_pictures_pass(tmp_path, name, count):
  source = write_originals(tmp_path, name)
  assert SCRIPT.CHECKS[name](source, tmp_path / 'out', convert) == count


def test_unusual_photos_pass(tmp_path):
  assert SCRIPT.check_odd_photos(None, tmp_path, convert) == 65


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'count'),
  [('imagenet_sample', 1000), ('flowers_slim_tfrecords', 140)],
)
def test_real_photos_pass(slim_test_data, tmp_path, name, count):
  source = slim_test_data / name
  assert SCRIPT.CHECKS[name](source, tmp_path, convert) == count


@pytest.mark.parametrize(
  ('name', 'file'),
  [
    ('mnist', 'train-images-idx3-ubyte'),
    ('mnist', 't10k-labels-idx1-ubyte'),
    ('cifar10', 'data_batch_3.bin'),
    ('cifar10', 'test_batch.bin'),
  ],
)
@pytest.mark.parametrize('offset', [10, -1])
def test_one_wrong_byte_is_detected(tmp_path, name, file, offset):
  source = write_originals(tmp_path, name)

  def convert_then_damage(*arguments):
    messages = convert(*arguments)
    data = bytearray((source / file).read_bytes())
    data[offset] ^= 1
    (source / file).write_bytes(data)
    return messages

  with pytest.raises(SCRIPT.MismatchError):
    SCRIPT.CHECKS[name](source, tmp_path / 'out', convert_then_damage)


@pytest.mark.parametrize('offset', [3, 9, 40, -1])
def test_a_wrong_checksum_is_detected(tmp_path, offset):
  source = write_originals(tmp_path, 'mnist')

  def convert_badly(name, source, target):
    messages = convert(name, source, target)
    path = target / 'mnist_test.tfrecord'
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    return messages

  with pytest.raises(SCRIPT.MismatchError, match=r'mnist_test\.tfrecord'):
    SCRIPT.check_mnist(source, tmp_path / 'out', convert_badly)
