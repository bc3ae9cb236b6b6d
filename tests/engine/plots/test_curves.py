import concurrent.futures
import json
import time

import matplotlib.image
import numpy as np
import pytest

from engine.plots import curves
from engine.plots import style as plot_style
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


def accuracies_of(results, progress):
  evaluations = curves.read_evaluations(results, curves.read_history(progress))
  return curves.series(evaluations, 'Accuracy')


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
  accuracies = accuracies_of([one, two], tmp_path / 'none')
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
    accuracies = accuracies_of(
      [tmp_path / 'results.csv'], tmp_path / 'progress.csv'
    )
    assert accuracies['test'][1].tolist() == expected


def test_steps_repeated_after_a_resume_are_drawn_once(tmp_path):
  train(tmp_path, [5, 4, 3, 2, 1, 0.5], steps=[10, 20, 30, 20, 30, 40])
  history = curves.read_history(tmp_path / 'progress.csv')
  assert history['step'].tolist() == [10, 20, 30, 40]
  assert history['loss'].tolist() == [5, 2, 1, 0.5]


@pytest.mark.parametrize('count', [1, 2, 79, 80, 5000])
def test_smoothing_keeps_constants(count):
  np.testing.assert_allclose(curves.smoothed(np.full(count, 3.0)), 3.0)


def test_smoothing_is_the_mean_of_the_neighbors():
  """Of noise alone, as many as are allowed: a tenth of all."""
  values = np.random.default_rng(0).random(400)
  smooth = curves.smoothed(values)
  for index in (0, 3, 19, 20, 200, 396, 399):
    half = min(20, index)
    neighbors = values[index - half : index + half + 1]
    assert smooth[index] == pytest.approx(neighbors.mean())


@pytest.mark.parametrize('noise', [0.003, 0.1, 0.2])
def test_the_window_grows_with_the_noise(noise):
  """What is left of it is a fiftieth of the range, or less."""
  curve = 2 - np.linspace(0, 1, 1000)
  values = curve + noise * np.random.default_rng(0).standard_normal(1000)
  smooth = curves.smoothed(values)
  assert (smooth - curve)[50:-50].std() < 0.021


def test_a_steep_start_is_not_smoothed_away():
  assert curves.smoothed(10 * 0.9 ** np.arange(200))[0] == 10


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
  figure = curves._figure(curves.read_history(tmp_path / 'progress.csv'), {})
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


def job(train_dir, **facts):
  """Writes job.json as training does, as far as the plot reads it."""
  content = {
    'options': {
      'model_name': 'lenet',
      'attention_module': 'cbam_block(ratio=4)',
      'dataset_name': 'digits',
    },
    'num_classes': 10,
    **facts,
  }
  (train_dir / 'job.json').write_text(json.dumps(content))


def test_the_figure_has_a_title_and_an_axis_of_epochs(tmp_path):
  train(tmp_path, [2.0, 1.0], steps=[10, 90])
  job(tmp_path, num_records=1280, images_per_step=64)
  figure = curves.figure(tmp_path)
  assert figure.get_suptitle() == 'lenet with cbam_block(ratio=4) on digits'
  figure.draw_without_rendering()
  (epochs,) = (axes for axes in figure.axes[-1].child_axes)
  steps = np.array(figure.axes[-1].get_xlim())
  np.testing.assert_allclose(epochs.get_xlim(), steps / 20)


def test_a_job_that_does_not_say_it_has_no_epochs(tmp_path):
  train(tmp_path, [2.0, 1.0])
  job(tmp_path)
  assert not curves.figure(tmp_path).axes[-1].child_axes
  (tmp_path / 'job.json').write_text('{')
  assert curves.figure(tmp_path).get_suptitle() == ''


def test_training_and_evaluation_share_the_axes_of_the_loss(tmp_path):
  """Cross entropy is compared; the loss with L2 stands beside it."""
  losses = [3.0, 2.0, 1.5]
  rows = (
    {'step': n, 'loss': loss + 1, 'cross_entropy': loss, 'learning_rate': 1}
    for n, loss in enumerate(losses)
  )
  csv_log.write(tmp_path / 'progress.csv', progress_csv.COLUMNS, rows)
  rows = [
    {
      'global_step': 2,
      'split': 'test',
      'count': 9,
      'Accuracy': 0.5,
      'loss': 1.25,
    }
  ]
  csv_log.write(tmp_path / 'results.csv', (*RESULTS, 'loss'), rows)
  figure = curves.figure(tmp_path, tmp_path / 'results.csv')
  lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
  assert lines['training: 1.5'].tolist() == losses
  assert lines['training with L2: 2.5'].tolist() == [4, 3, 2.5]
  assert lines['test: 1.25 at step 2'].tolist() == [1.25]
  low, high = figure.axes[0].get_ylim()
  assert low < 1.25 < 3 < high


@pytest.mark.parametrize('plot_format', ['svg', 'pdf'])
def test_another_format_stands_beside_the_png_and_repeats(
  tmp_path, plot_format
):
  train(tmp_path, [2.0, 1.0])
  plots = []
  for _ in range(2):
    curves.draw(tmp_path, (), plot_format)
    plots.append((tmp_path / f'curves.{plot_format}').read_bytes())
  assert pixels(tmp_path / 'curves.png').shape[1] == 1000
  assert plots[0] == plots[1]
  assert plots[0].startswith(b'%PDF' if plot_format == 'pdf' else b'<?xml')


@pytest.mark.parametrize(
  ('values', 'low', 'high'),
  [
    ([0.975, 0.98], 0.8, 1.0),
    ([0.01, 0.03], 0.0, 0.2),
    ([0.5, 0.52], 0.41, 0.61),
    ([0.1, 0.9], 0.1, 0.9),
    ([], 0.0, 1.0),
    ([float('nan'), 0.5], 0.4, 0.6),
  ],
)
def test_an_axis_of_accuracies_does_not_magnify_noise(values, low, high):
  margin = 0.05 * (high - low)
  limits = plot_style.accuracy_limits(values, 0.2)
  assert limits == pytest.approx((low - margin, high + margin))
