import numpy as np
import pytest

from engine.run_dir import progress_csv


@pytest.fixture
def path(tmp_path):
  """Five rows, steps 10 to 50."""
  path = tmp_path / 'progress.csv'
  for step in range(10, 60, 10):
    progress_csv.append(
      path, step, 1 / step, 0.01, None if step == 10 else 99.5
    )
  return path


def test_rows_read_back(path):
  assert path.read_text().startswith(
    'step,time,loss,learning_rate,images_per_second,cross_entropy,accuracy\n10,20'
  )
  found = progress_csv.read(path)
  assert found['step'].tolist() == [10, 20, 30, 40, 50]
  np.testing.assert_allclose(found['loss'], 1 / found['step'], rtol=1e-8)
  assert found['learning_rate'].tolist() == [0.01] * 5
  assert np.isnan(found['images_per_second'][0])
  assert found['images_per_second'][1:].tolist() == [99.5] * 4
  assert all('T' in time for time in found['time'])


def test_float32_losses_keep_all_their_digits(tmp_path):
  losses = np.random.default_rng(0).standard_normal(50).astype(np.float32)
  for step, loss in enumerate(losses):
    progress_csv.append(tmp_path / 'p.csv', step, loss, 0.01, 1.0)
  found = progress_csv.read(tmp_path / 'p.csv')['loss'].astype(np.float32)
  np.testing.assert_array_equal(found, losses)


def test_odd_rows_do_not_hide_the_others(path):
  with open(path, 'a') as file:
    file.write(
      'sixty,t,1,1,1,,\n-5,t,1,1,1,,\n²,t,1,1,1,,\n70,t,nan,x,,,\n80,t,0.'
    )
  found = progress_csv.read(path)
  assert found['step'].tolist() == [10, 20, 30, 40, 50, 70]
  assert np.isnan([found[name][-1] for name in progress_csv.COLUMNS[2:]]).all()


def test_files_of_earlier_versions_are_continued(tmp_path):
  path = tmp_path / 'progress.csv'
  path.write_text(
    'step,time,loss,learning_rate,images_per_second\n10,t,0.5,0.1,9\n'
  )
  assert np.isnan(progress_csv.read(path)['accuracy']).all()
  progress_csv.append(path, 20, 0.4, 0.1, 9, 0.3, 0.75)
  found = progress_csv.read(path)
  assert found['loss'].tolist() == [0.5, 0.4]
  assert found['accuracy'].tolist()[1] == 0.75


def test_no_file_is_an_empty_history(tmp_path):
  found = progress_csv.read(tmp_path / 'none.csv')
  assert set(found) == set(progress_csv.COLUMNS)
  assert all(len(column) == 0 for column in found.values())
  assert progress_csv.truncate(tmp_path / 'none.csv', 5) == 0
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('position', range(0, 250, 7))
@pytest.mark.parametrize('byte', [b'"', b'\0', b'\n', b',', b'\xff', b'x'])
def test_a_damaged_byte_costs_one_row_at_resume(path, position, byte, capsys):
  """Two if it was a line end; a digit that becomes another goes unseen."""
  content = path.read_bytes()
  path.write_bytes(content[:position] + byte + content[position + 1 :])
  cost = 2 if content[position : position + 1] == b'\n' else 1
  assert 5 - cost <= len(progress_csv.read(path)['step']) <= 5
  progress_csv.truncate(path, 1000)
  mended = progress_csv.read(path)['step'].tolist()
  assert 5 - cost <= len(mended) <= 5
  assert path.read_text().startswith(','.join(progress_csv.COLUMNS))
  capsys.readouterr()
  progress_csv.append(path, 60, 0.1, 0.01, 1.0)
  assert progress_csv.read(path)['step'].tolist() == [*mended, 60]
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
  ('step', 'left'), [(0, 0), (9, 0), (10, 1), (35, 3), (50, 5), (999, 5)]
)
def test_truncate_drops_what_resuming_does_again(path, step, left):
  before = path.read_text().splitlines(keepends=True)
  assert progress_csv.truncate(path, step) == 5 - left
  assert path.read_text() == ''.join(before[: 1 + left])
  progress_csv.append(path, step + 1, 0.5, 0.01, 1.0)
  assert progress_csv.read(path)['step'][-1] == step + 1
