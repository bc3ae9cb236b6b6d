import concurrent.futures
import time

import matplotlib.image
import numpy as np
import pytest

from engine.plots import curves
from engine.run_dir import csv_log, progress_csv

RESULTS = ('time', 'global_step', 'checkpoint', 'split', 'count', 'Accuracy')


def train(train_dir, losses, rates=None, steps=None):
  """Writes progress.csv as training does."""
  steps = range(len(losses)) if steps is None else steps
  rates = [0.01] * len(losses) if rates is None else rates
  lines = (
    {'step': step, 'loss': loss, 'learning_rate': rate}
    for step, loss, rate in zip(steps, losses, rates, strict=True)
  )
  csv_log.write(train_dir / 'progress.csv', progress_csv.COLUMNS, lines)


def evaluate(path, accuracies, split='test'):
  """Writes (step, accuracy) pairs into results.csv as evaluation does."""
  lines = (
    {'global_step': step, 'count': 9, 'split': split, 'Accuracy': accuracy}
    for step, accuracy in accuracies
  )
  csv_log.write(path, RESULTS, lines)
  return path


def pixels(path):
  return matplotlib.image.imread(path)


NAN, INF = float('nan'), float('inf')


@pytest.mark.slow
@pytest.mark.parametrize(
  'losses',
  [
    [],
    [1.0],
    [NAN],
    [NAN, INF, -INF],
    [0.0] * 50,
    [-1.0, 2.0, -3.0],
    [1e308, 1.0, 1e-308],
    [-1e308, 1e308],
    [7 * 0.9**n for n in range(100)],
    [2.0, 1.0, NAN],
    [1.0] * 99 + [1e38],
  ],
)
@pytest.mark.parametrize('accuracies', [[], [(0, 0.5)], [(1, NAN), (2, 0.25)]])
def test_draws_whatever_was_logged(tmp_path, losses, accuracies):
  train(tmp_path, losses, rates=[abs(loss) for loss in losses])
  path = evaluate(tmp_path / 'results.csv', accuracies)
  plot = curves.draw(tmp_path, path)
  assert plot == str(tmp_path / 'curves.png')
  assert pixels(plot).shape[1] == 1000


@pytest.mark.parametrize('content', ['', 'step', 'step,loss\n', 'a,b\n1,2\n3'])
def test_draws_malformed_files(tmp_path, content):
  (tmp_path / 'progress.csv').write_text(content)
  (tmp_path / 'results.csv').write_text(content)
  assert curves.draw(tmp_path, [tmp_path / 'results.csv', tmp_path / 'none'])


def test_draws_without_any_file(tmp_path):
  assert curves.draw(tmp_path) == str(tmp_path / 'curves.png')


def test_a_failure_is_logged_and_not_raised(tmp_path, caplog):
  (tmp_path / 'curves.png').mkdir()
  assert curves.draw(tmp_path) is None
  assert 'could not be drawn' in caplog.text


def test_evaluations_add_a_panel(tmp_path):
  train(tmp_path, [1.0, 0.5])
  height = pixels(curves.draw(tmp_path)).shape[0]
  path = evaluate(tmp_path / 'results.csv', [(1, 0.5)])
  assert pixels(curves.draw(tmp_path, [path])).shape[0] > height


def test_the_last_evaluation_of_a_step_counts_for_each_split(tmp_path):
  one = evaluate(tmp_path / '1.csv', [(20, 0.5), (10, 0.25), (20, 0.75)])
  two = evaluate(tmp_path / '2.csv', [(10, 0.125)], split='train')
  accuracies = curves._accuracies(
    [one, two], curves._history(tmp_path / 'none')
  )
  assert {
    name: (steps.tolist(), values.tolist())
    for name, (steps, values) in accuracies.items()
  } == {'test': ([10, 20], [0.25, 0.75]), 'train': ([10], [0.125])}


def test_evaluations_of_steps_repeated_later_are_not_drawn(tmp_path):
  """Step 30 was damaged: training resumed from 20, and is at 30 again."""
  train(tmp_path, [4, 3, 2], steps=[10, 20, 25])
  lines = csv_log.read(tmp_path / 'progress.csv')
  for line, minute in zip(lines, (0, 1, 9), strict=True):
    line['time'] = f'2026-01-01T00:0{minute}:00+00:00'
  csv_log.write(tmp_path / 'progress.csv', progress_csv.COLUMNS, lines)
  evaluations = [(10, 1), (20, 2), (30, 4), (10, 5), (30, 9)]
  lines = [
    {'time': f'2026-01-01T00:0{minute}:30+00:00', 'global_step': step,
     'count': 9, 'split': 'test', 'Accuracy': minute / 10}
    for step, minute in evaluations
  ]  # fmt: skip
  for left, expected in ((5, [0.5, 0.2, 0.9]), (4, [0.5, 0.2])):
    csv_log.write(tmp_path / 'results.csv', RESULTS, lines[:left])
    accuracies = curves._accuracies(
      [tmp_path / 'results.csv'], curves._history(tmp_path / 'progress.csv')
    )
    assert accuracies['test'][1].tolist() == expected


def test_steps_repeated_after_a_resume_are_drawn_once(tmp_path):
  train(tmp_path, [5, 4, 3, 2, 1, 0.5], steps=[10, 20, 30, 20, 30, 40])
  history = curves._history(tmp_path / 'progress.csv')
  assert history['step'].tolist() == [10, 20, 30, 40]
  assert history['loss'].tolist() == [5, 2, 1, 0.5]


@pytest.mark.parametrize('count', [1, 2, 79, 80, 5000])
def test_smoothing_keeps_constants(count):
  np.testing.assert_allclose(curves.smoothed(np.full(count, 3.0)), 3.0)


def test_smoothing_is_the_mean_of_the_neighbors():
  values = np.random.default_rng(0).random(400)
  smooth = curves.smoothed(values)
  for index in (0, 3, 5, 200, 396, 399):
    neighbors = values[max(0, index - 5) : index + 6]
    assert smooth[index] == pytest.approx(neighbors.mean())


@pytest.mark.parametrize(
  ('losses', 'scale'),
  [
    ([2.5 * 0.99**n + 0.3 for n in range(400)], 'linear'),
    ([7 * 0.98**n + 0.001 for n in range(400)], 'log'),
    ([1.0] * 50 + [0.0] * 50, 'linear'),
  ],
)
def test_the_scale_is_logarithmic_only_for_a_large_range(
  tmp_path, losses, scale
):
  train(tmp_path, losses)
  figure = curves._figure(curves._history(tmp_path / 'progress.csv'), {})
  assert figure.axes[0].get_yscale() == scale


@pytest.mark.slow
def test_threads_may_draw_at_once(tmp_path):
  folders = [tmp_path / str(number) for number in range(6)]
  for folder in folders:
    train(folder, np.linspace(2, 1, 50))
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    plots = list(pool.map(curves.draw, folders))
  assert all(plots)
  for path in plots[1:]:
    np.testing.assert_array_equal(pixels(path), pixels(plots[0]))


@pytest.mark.slow
def test_a_million_rows_take_at_most_two_seconds(tmp_path):
  train(tmp_path, [1.0, 0.9])
  curves.draw(tmp_path)  # Loads the fonts.
  count = 1_000_000
  train(tmp_path, np.linspace(2, 1, count))
  start = time.process_time()
  assert curves.draw(tmp_path)
  assert time.process_time() - start < 2
