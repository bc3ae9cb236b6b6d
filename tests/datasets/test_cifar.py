import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from original_files import (
  cifar100_batches,
  cifar100_files,
  cifar_batches,
  cifar_binary,
  cifar_files,
  cifar_splits,
  made,
  read_examples,
  read_pixels,
  write_files,
  write_tarball,
)
from PIL import Image

from datasets.cifar import parse_pickle
from datasets.convert import convert
from errors import UserError

FORMS = ('binary', 'python', 'python2')


def place(where, form, folder):
  """Writes the batches of a form to a usual location; returns --source_dir."""
  files = cifar_files(form)
  end = 'bin' if form == 'binary' else 'py'
  below = f'cifar-10-batches-{end}'
  folder.mkdir()
  if where == 'folder':
    write_files(folder, files)
  elif where == 'below':
    write_files(folder / below, files)
  else:
    kind = 'binary' if form == 'binary' else 'python'
    path = folder / f'cifar-10-{kind}.tar.gz'
    write_tarball(path, {f'{below}/{name}': files[name] for name in files})
    if where == 'tarball':
      return path
  return folder


@pytest.mark.parametrize('where', ['folder', 'below', 'tarball', 'beside'])
@pytest.mark.parametrize('form', FORMS)
def test_round_trip(tmp_path, form, where):
  source = place(where, form, tmp_path / 'in')
  convert('cifar10', str(tmp_path / 'out'), str(source))
  for split, (images, labels) in cifar_splits().items():
    path = tmp_path / 'out' / f'cifar10_{split}.tfrecord'
    ours, our_labels = read_pixels(path)
    assert (ours == images).all()
    assert (our_labels == labels).all()


def test_a_zip_archive_of_the_batches(tmp_path):
  path = tmp_path / 'cifar.zip'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as packed:
    for name, data in cifar_files('python').items():
      packed.writestr(f'cifar-10-batches-py/{name}', data)
  summary = convert('cifar10', str(tmp_path / 'out'), str(path))
  assert summary.splits == {'train': 20, 'test': 4}


@pytest.mark.parametrize('where', ['folder', 'tarball'])
@pytest.mark.parametrize('form', ['binary', 'python'])
def test_round_trip_of_cifar100(tmp_path, form, where):
  source = tmp_path / 'in'
  if where == 'folder':
    write_files(source / 'cifar-100', cifar100_files(form))
  else:
    source.mkdir()
    path = source / f'cifar-100-{form}.tar.gz'
    files = cifar100_files(form)
    write_tarball(path, {f'cifar-100/{name}': files[name] for name in files})
  convert('cifar100', str(tmp_path / 'out'), str(source))
  for split, (planes, labels) in cifar100_batches().items():
    examples = read_examples(tmp_path / 'out' / f'cifar100_{split}.tfrecord')
    for example, row, (coarse, fine) in zip(
      examples, planes, labels, strict=True
    ):
      image = Image.open(io.BytesIO(example['image/encoded']))
      for channel in range(3):
        plane = np.asarray(image)[..., channel].tobytes()
        assert plane == row[1024 * channel : 1024 * (channel + 1)].tobytes()
      assert example['image/class/label'] == fine
      assert example['image/class/coarse_label'] == coarse


@pytest.mark.parametrize(
  ('coarse', 'fine', 'message'), [(20, 0, 'label 20'), (0, 100, 'label 100')]
)
def test_wrong_labels_of_cifar100_are_named(tmp_path, coarse, fine, message):
  files = cifar100_files('binary')
  files['test.bin'] = bytes([coarse, fine]) + bytes(3072)
  write_files(tmp_path / 'in', files)
  with pytest.raises(UserError, match=f'test in .* has the {message}'):
    convert('cifar100', str(tmp_path / 'out'), str(tmp_path / 'in'))


class Malice:
  """An object that runs a command when it is unpickled."""

  def __init__(self, call, *arguments):
    self.call, self.arguments = call, arguments

  def __reduce__(self):
    return self.call, self.arguments


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('where', ['folder', 'tarball'])
@pytest.mark.parametrize('call', [os.system, eval, exec, np.load, getattr])
def test_a_pickle_never_runs_code(tmp_path, call, where, protocol):
  mark = tmp_path / 'ran'
  argument = (
    f'touch {mark}' if call is os.system else f'open({str(mark)!r}, "w")'
  )
  planes, labels = cifar_batches()['data_batch_1']
  malice = Malice(call, argument)
  batch = {'data': planes, 'labels': labels.tolist(), 'more': malice}
  files = cifar_files('python')
  files['data_batch_1'] = pickle.dumps(batch, protocol)
  source = tmp_path / 'in'
  if where == 'folder':
    write_files(source, files)
  else:
    write_tarball(source, files)
  with pytest.raises(UserError, match=r'data_batch_1 in .*: it asks for \w+\.'):
    convert('cifar10', str(tmp_path / 'out'), str(source))
  assert not mark.exists()
  assert list((tmp_path / 'out').iterdir()) == []


@pytest.mark.parametrize(
  'name',
  ['data_batch_1', '../data_batch_1', '/data_batch_1', 'a/../../test_batch'],
)
def test_a_tarball_never_writes_outside(tmp_path, name):
  """Members are read by their last name and never written to a file."""
  (tmp_path / 'in').mkdir()
  files = {f'../{name}': data for name, data in cifar_files('python').items()}
  files[name] = files.pop(f'../{name.rpartition("/")[2]}')
  write_tarball(tmp_path / 'in/evil.tar.gz', files)
  convert('cifar10', str(tmp_path / 'out'), str(tmp_path / 'in/evil.tar.gz'))
  assert sorted(path.name for path in tmp_path.iterdir()) == ['in', 'out']
  assert [path.name for path in (tmp_path / 'in').iterdir()] == ['evil.tar.gz']


def test_a_link_in_a_tarball_is_not_followed(tmp_path):
  import tarfile

  files = cifar_files('binary')
  secret = tmp_path / 'secret'
  secret.write_bytes(files.pop('test_batch.bin'))
  path = tmp_path / 'cifar.tar'
  with tarfile.open(path, 'w') as tar:
    link = tarfile.TarInfo('test_batch.bin')
    link.type, link.linkname = tarfile.SYMTYPE, str(secret)
    tar.addfile(link)
  with pytest.raises(UserError, match=r'No data_batch_1\.bin or data_batch_1'):
    convert('cifar10', str(tmp_path / 'out'), str(path))


@pytest.mark.parametrize(
  ('name', 'data', 'message'),
  [
    ('data_batch_1.bin', b'', r'0 bytes are not rows of 3073'),
    ('data_batch_3.bin', bytes(3072), r'3072 bytes are not rows of 3073'),
    ('test_batch.bin', b'\x0a' + bytes(3072), r'image 0 has the label 10'),
  ],
)
def test_damaged_batches_are_named(tmp_path, name, data, message):
  write_files(tmp_path / 'in', {**cifar_files('binary'), name: data})
  with pytest.raises(UserError, match=rf'{name[:-4]}.*{message}'):
    convert('cifar10', str(tmp_path / 'out'), str(tmp_path / 'in'))


def test_a_missing_batch_is_named(tmp_path):
  files = cifar_files('binary')
  del files['data_batch_4.bin']
  write_files(tmp_path / 'in', files)
  with pytest.raises(UserError, match=r'No data_batch_4\.bin or data_batch_4'):
    convert('cifar10', str(tmp_path / 'out'), str(tmp_path / 'in'))


@pytest.mark.parametrize('cut', [0, 20, -40])
def test_a_damaged_tarball_is_named(tmp_path, cut):
  path = tmp_path / 'cifar-10-binary.tar.gz'
  write_tarball(path, cifar_files('binary'))
  path.write_bytes(path.read_bytes()[:cut] if cut else b'not a tarball')
  with pytest.raises(UserError, match=r'Cannot (read|unpack) .*\.tar\.gz'):
    convert('cifar10', str(tmp_path / 'out'), str(path))


@pytest.mark.parametrize(
  'content',
  [
    [],
    {},
    {'data': made(2, 3072)},
    {'data': made(2, 3072), 'labels': [1]},
    {'data': made(2, 3071), 'labels': [1, 2]},
    {'data': made(2, 3072).astype(float), 'labels': [1, 2]},
  ],
)
def test_other_pickles_are_refused(content):
  with pytest.raises((ValueError, KeyError)):
    parse_pickle(pickle.dumps(content, protocol=2))


def laughing() -> list:
  """Returns lists of lists that contain a billion numbers in all."""
  numbers = [1] * 10
  for _ in range(27):
    numbers = [numbers, numbers]
  return numbers


EIGHT_BYTES = (1 << 32).to_bytes(8, 'little')
BOMBS = {
  'bytes': b'\x80\x04\x8e' + EIGHT_BYTES,
  'bytearray': b'\x80\x05\x96' + EIGHT_BYTES,
  'text': b'\x80\x04\x8d' + EIGHT_BYTES,
  'frame': b'\x80\x04\x95' + EIGHT_BYTES + b'N.',
  'long': b'\x80\x02\x8b\xff\xff\xff\x7f',
  'old text': b'T\xff\xff\xff\x7f',
  'place': b'\x80\x02]r\xff\xff\xff\x3f.',
  'place in text': b']p1000000000\n.',
  'array': b'\x80\x02cnumpy\nndarray\n\x8a\x05\x00\x00\x00\x00\x08\x85R.',
  'array of old': (
    b'\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n'
    b'\x8a\x05\x00\x00\x00\x00\x08\x85U\x01b\x87R.'
  ),
  'nested key': b'\x80\x02}N' + b'\x85' * 10**5 + b'Ns.',
  'key of shared tuples': (b'\x80\x02}N\x85' + b'q\x00h\x00\x86' * 40 + b'Ns.'),
  'labels of shared tuples': (
    b'\x80\x02}U\x04dataNsU\x06labelsN\x85' + b'q\x00h\x00\x86' * 40 + b's.'
  ),
  'encoded again and again': (
    b'\x80\x02X\x00\x10\x00\x00'
    + b'a' * 4096
    + b'q\x00c_codecs\nencode\nq\x01'
    + b'h\x01h\x00X\x06\x00\x00\x00latin1\x86R' * 1000
    + b'.'
  ),
  'shared lists': pickle.dumps({'data': laughing(), 'labels': laughing()}, 2),
}


@pytest.mark.parametrize('name', BOMBS)
def test_a_small_pickle_takes_little_memory(name):
  tracemalloc.start()
  try:
    with pytest.raises((ValueError, TypeError, pickle.UnpicklingError)):
      parse_pickle(BOMBS[name])
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize('protocol', range(5))
def test_a_batch_is_read_in_any_protocol(protocol):
  planes, labels = cifar_batches()['data_batch_1']
  batch = {'data': planes, 'labels': labels.tolist(), 'more': ['a.png'] * 5000}
  images, columns = parse_pickle(pickle.dumps(batch, protocol))
  np.testing.assert_array_equal(images, planes)
  np.testing.assert_array_equal(columns[:, 0], labels)


def test_a_batch_of_any_size_is_bounded(tmp_path):
  write_files(tmp_path / 'in', cifar_files('binary'))
  os.truncate(tmp_path / 'in/data_batch_2.bin', 1 << 40)
  with pytest.raises(UserError, match=r'Cannot read .*in: it has 1,099,511,'):
    convert('cifar10', str(tmp_path / 'out'), str(tmp_path / 'in'))


def test_damaged_pickles_are_named(tmp_path):
  good = cifar_files('python')
  rng = np.random.default_rng(0)
  for _ in range(20):
    data = bytearray(good['test_batch'])
    data[rng.integers(200)] ^= 1 << rng.integers(8)
    files = {**good, 'test_batch': bytes(data)[: rng.integers(len(data))]}
    write_files(tmp_path / 'in', files)
    with pytest.raises(UserError, match=r'test_batch'):
      convert('cifar10', str(tmp_path / 'out'), str(tmp_path / 'in'))


def test_the_binary_form_is_rows():
  planes, labels = cifar_batches()['data_batch_2']
  data = cifar_binary(planes, labels)
  assert len(data) == 4 * 3073
  assert data[3073] == labels[1]


@pytest.mark.parametrize('code', ['V0', 'S0', 'U1', 'f8', 'O8', '(9,)u1'])
def test_arrays_that_are_not_of_whole_numbers_are_refused(code):
  """A trillion values of no bytes would take hours to copy."""
  data = (
    b'\x80\x02}U\x04dataU\x00sU\x06labels'
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR'
    b'(K\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x85cnumpy\ndtype\n(U'
    + bytes([len(code)])
    + code.encode()
    + b'K\x00K\x01tR\x89U\x00tbs.'
  )
  with pytest.raises(ValueError, match='not of whole numbers'):
    parse_pickle(data)


@pytest.mark.parametrize('order', ['<i8', '>i8', '<u2', '|u1'])
@pytest.mark.parametrize('layout', ['C', 'F'])
def test_arrays_of_any_whole_numbers_and_order_are_read(order, layout):
  planes, labels = cifar_batches()['data_batch_1']
  batch = {
    'data': np.array(planes, order=layout),
    'labels': np.array(labels, order),
  }
  images, columns = parse_pickle(pickle.dumps(batch, 2))
  np.testing.assert_array_equal(images, planes)
  np.testing.assert_array_equal(columns[:, 0], labels)


@pytest.mark.parametrize(
  'labels',
  [['a'] * 4, [0.5] * 4, [None] * 4, [True] * 4, np.array([1.5] * 4), 'text'],
)
def test_labels_that_are_not_whole_numbers_are_named(tmp_path, labels):
  planes, _ = cifar_batches()['test_batch']
  files = cifar_files('python')
  files['test_batch'] = pickle.dumps({'data': planes, 'labels': labels}, 2)
  write_files(tmp_path / 'in', files)
  with pytest.raises(UserError, match=r'test_batch in .* whole numbers'):
    convert('cifar10', str(tmp_path / 'out'), str(tmp_path / 'in'))
