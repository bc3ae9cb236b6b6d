import pytest

from engine.run_dir import results_csv

METRICS = {
  'Accuracy': 0.5, 'Recall_5': 0.9, 'loss': 1.25, 'macro_precision': 0.5,
  'macro_recall': 0.25, 'macro_f1': 0.125, 'balanced_accuracy': 0.25,
  'expected_calibration_error': 0.0625, 'macro_auroc': 0.75,
}  # fmt: skip


def append(path, step, metrics=METRICS):
  results_csv.append(
    path, time='2026-01-31T09:30:00+00:00', global_step=step,
    checkpoint=f'train/model.ckpt-{step}', split='test', count=23,
    metrics=metrics,
  )  # fmt: skip


@pytest.fixture
def path(tmp_path):
  """Rows of steps 1 to 4."""
  for step in range(1, 5):
    append(tmp_path / 'results.csv', step)
  return tmp_path / 'results.csv'


def steps(path) -> list[int]:
  return [row['global_step'] for row in results_csv.read(path)]


def test_rows_read_back(path):
  assert steps(path) == [1, 2, 3, 4]
  row = results_csv.read(path)[0]
  assert {name: row[name] for name in METRICS} == METRICS
  assert (row['split'], row['count']) == ('test', 23)


@pytest.mark.parametrize('position', range(0, 400, 11))
@pytest.mark.parametrize('byte', [b'"', b'\0', b',', b'\xff', b'x'])
def test_a_damaged_byte_costs_one_row(path, position, byte):
  """Two if it was a line end."""
  content = path.read_bytes()
  path.write_bytes(content[:position] + byte + content[position + 1 :])
  cost = 2 if content[position : position + 1] == b'\n' else 1
  assert 4 - cost <= len(results_csv.read(path)) <= 4
  append(path, 5)
  append(path, 6)
  assert steps(path)[-2:] == [5, 6]
  assert all('Accuracy' in row for row in results_csv.read(path))
  assert 6 - cost <= len(results_csv.read(path))


def test_few_classes_have_no_recall_5(tmp_path):
  path = tmp_path / 'results.csv'
  few = {name: v for name, v in METRICS.items() if name != 'Recall_5'}
  append(path, 1, few)
  append(path, 2)
  first, second = results_csv.read(path)
  assert 'Recall_5' not in first
  assert second['Recall_5'] == 0.9
  append(path, 3, few)
  assert steps(path) == [1, 2, 3]


def test_metrics_that_earlier_versions_lacked_are_added(tmp_path):
  path = tmp_path / 'results.csv'
  append(path, 1, dict(list(METRICS.items())[:6]))
  append(path, 2)
  first, second = results_csv.read(path)
  assert 'macro_auroc' not in first
  assert {name: second[name] for name in METRICS} == METRICS
  # A damaged header is known by the number of columns.
  path.write_bytes(b'x' + path.read_bytes()[1:])
  assert results_csv.read(path)[1] == second
