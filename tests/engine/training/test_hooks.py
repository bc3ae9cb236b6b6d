"""What the logging hook reports of the loss, and when summaries are written."""

import math
import types

import pytest

from engine.run_dir import progress_csv
from engine.training.hooks import LoggingHook, SummaryHook


@pytest.fixture
def logged(train_job, tmp_path):
  """logged(losses) -> the hook after steps with these losses."""

  def run(losses, start=0):
    step = types.SimpleNamespace(images_per_step=8)
    writer = types.SimpleNamespace(add_summary=lambda *_: None)
    job = train_job(max_number_of_steps=None, log_every_n_steps=1)
    hook = LoggingHook(job, step, start, writer)
    for number, loss in enumerate(losses, start=start + 1):
      hook._began = 0.0
      values = {
        'step': number, 'loss': loss, 'rate': 0.1, 'cross_entropy': loss / 2,
        'accuracy': number / 10,
      }  # fmt: skip
      hook.after_run(None, types.SimpleNamespace(results=values))
    return hook

  return run


@pytest.mark.parametrize(
  ('losses', 'has_risen'),
  [
    ([], False),
    ([2.3, 1.0], False),
    ([2.3, 1e-6, 0.5], False),  # A small loss in between is no start.
    ([2.3, 2299.0], False),
    ([2.3, 2301.0], True),
    ([2.3, 1e9, 2.0], False),
    ([2.3, math.inf], True),
    ([2.3, math.nan], True),
    ([math.nan], True),
    ([0.0, 5.0], False),
  ],
)
def test_a_loss_a_thousand_times_that_of_the_start_has_risen(
  logged, losses, has_risen
):
  assert logged(losses).has_risen == has_risen


def test_a_resumed_run_knows_the_loss_of_its_start(logged, tmp_path):
  (tmp_path / 'train').mkdir()
  path = tmp_path / 'train' / progress_csv.FILE
  progress_csv.append(path, 1, 2.0, 0.1, None)
  progress_csv.append(path, 2, 1e6, 0.1, None)
  assert logged([1e6], start=2).has_risen


def test_rows_have_the_means_since_the_row_before(train_job, tmp_path):
  step = types.SimpleNamespace(images_per_step=8)
  writer = types.SimpleNamespace(add_summary=lambda *_: None)
  (tmp_path / 'train').mkdir()
  job = train_job(max_number_of_steps=None, log_every_n_steps=3)
  hook = LoggingHook(job, step, 0, writer)
  for number in range(1, 7):
    hook._began = 0.0
    values = {
      'step': number, 'loss': 9.0, 'rate': 0.1, 'cross_entropy': number,
      'accuracy': number / 10,
    }  # fmt: skip
    hook.after_run(None, types.SimpleNamespace(results=values))
  rows = progress_csv.read(tmp_path / 'train' / progress_csv.FILE)
  assert rows['step'].tolist() == [3, 6]
  assert rows['cross_entropy'].tolist() == [2, 5]
  assert rows['accuracy'].tolist() == pytest.approx([0.2, 0.5])


@pytest.mark.parametrize(('seconds', 'expected'), [(600, [2]), (1, [2, 4])])
def test_the_first_step_does_not_wait_for_summaries(
  train_job, graph, monkeypatch, seconds, expected
):
  """Steps of 0.6 seconds."""
  now = 100.0
  clock = types.SimpleNamespace(monotonic=lambda: now)
  monkeypatch.setattr('engine.training.hooks.time', clock)
  step = types.SimpleNamespace(train_op='step', summary='summary')
  written, started, graphs = [], [], []
  writer = types.SimpleNamespace(
    add_summary=lambda _, number: written.append(number),
    add_session_log=lambda _, number: started.append(number),
    add_graph=graphs.append,
  )
  context = types.SimpleNamespace(session=types.SimpleNamespace(graph=graph))
  hook = SummaryHook(train_job(save_summaries_secs=seconds), step, writer)
  for number in range(1, 6):
    fetches = hook.before_run(None).fetches
    results = {key: {} for key in fetches} | {'step': number}
    hook.after_run(context, types.SimpleNamespace(results=results))
    now += 0.6
  # The summary of the batch, and the histograms of the weights.
  assert sorted({*written}) == expected
  assert len(written) == 2 * len(expected)
  assert started == [1]
  assert graphs == [graph]
