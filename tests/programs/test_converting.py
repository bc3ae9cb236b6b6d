"""Signals leave no unpacked archive and no mended copy in TMPDIR."""

import signal

import pytest
from original_files import photo_bytes, write_tarball
from processes import until

BOTH = pytest.mark.parametrize(
  'number', [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)


@BOTH
@pytest.mark.slow
def test_a_signal_leaves_no_unpacked_archive(start, tmp_path, number):
  """The program starts cold, as the tests' server has chosen its TMPDIR."""
  # BMPs take some time to encode again.
  photos = {
    f'{name}/{n}.bmp': photo_bytes('BMP', size=(600, 400), seed=n)
    for name in ('crow', 'gull')
    for n in range(40)
  }
  write_tarball(tmp_path / 'birds.tar.gz', photos)
  unpacked = tmp_path / 'tmp'
  unpacked.mkdir()
  process = start(
    'convert', dataset_name='birds', dataset_dir='out',
    source_dir='birds.tar.gz', cold=True,
    environ={'TMPDIR': str(unpacked)},
  )  # fmt: skip
  until(lambda: list(tmp_path.glob('out/.conversion/.*.partial')), 'a shard')
  assert list(unpacked.glob('unpacked_*'))
  process.signal(number)
  assert process.wait() == 128 + number
  assert f'Stopped by {number.name}' in process.stderr
  assert 'Traceback' not in process.stderr
  assert list(unpacked.iterdir()) == []
  # Nothing is published, and nothing half written is left.
  assert not list((tmp_path / 'out').glob('*.tfrecord'))
  assert not list((tmp_path / 'out').glob('.conversion/.*.partial'))


@pytest.mark.slow
def test_a_signal_leaves_no_mended_copy(start, copied, digits, tmp_path):
  (copied / 'finished.json').unlink()
  for name in ('data', 'tmp'):
    (tmp_path / name).mkdir()
  for path in digits.glob('*.tfrecord'):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'data' / path.name).write_bytes(content)
  process = start(
    'loop', '--skip_bad_records', checkpoint_path=copied, dataset_dir='data',
    eval_dir='eval', eval_interval_secs=60, cold=True,
    environ={'TMPDIR': str(tmp_path / 'tmp')},
  )  # fmt: skip
  process.wait_for('bad records? w')
  assert list(tmp_path.glob('tmp/mended_records_*'))
  process.signal(signal.SIGTERM)
  assert process.wait() == 128 + signal.SIGTERM
  assert 'Traceback' not in process.stderr
  assert not list(tmp_path.glob('tmp/mended_records_*'))
