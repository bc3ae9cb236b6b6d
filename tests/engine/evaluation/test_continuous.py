"""The best checkpoint and early stopping; the evaluations are stand-ins.

tests/programs/test_loop.py runs the real ones.
"""

import json
import os
import pathlib
import types

import numpy as np
import pytest

from engine.checkpoints import store
from engine.config.jobs import EvalLoopJob
from engine.evaluation import continuous, results
from engine.evaluation.metrics import Metrics
from engine.run_dir import lock, results_csv, run_status
from errors import UserError


class Evaluator:
  """Gives each checkpoint the accuracy that its files contain."""

  def __init__(self, setup):
    self._setup = setup

  def evaluate(self, checkpoint):
    right = int(pathlib.Path(f'{checkpoint}.data').read_text())
    metrics = Metrics(2)
    guesses = np.array([[0, 1]] * right + [[1, 0]] * (10 - right))
    shares = np.eye(2)[guesses[:, 0]]
    metrics.update(np.zeros(10, int), guesses, np.zeros(10), shares)
    return results.summarize(
      metrics,
      checkpoint=checkpoint,
      global_step=store.step_of(checkpoint),
      dataset='digits',
      split=self._setup.dataset.split,
      class_names='ab',
      images_per_second=1.0,
    )

  def publish(self, result):
    results.write(result, self._setup.job.eval_dir)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
  monkeypatch.setattr(continuous, 'Evaluator', Evaluator)
  monkeypatch.setattr(results, 'draw_confusion', lambda *arguments: None)
  monkeypatch.setattr(store, 'read_problem', read_problem)


def read_problem(checkpoint):
  is_whole = pathlib.Path(f'{checkpoint}.data').read_text().isdigit()
  return None if is_whole else 'bad checksum'


def evaluating_setup(folder, split='test', eval_dir='eval'):
  return types.SimpleNamespace(
    num_classes=2,
    job=types.SimpleNamespace(
      eval_dir=str(folder / eval_dir), plot_format='png'
    ),
    dataset=types.SimpleNamespace(name='digits', split=split),
  )


@pytest.fixture
def evaluation(tmp_path):
  """evaluation(**options) -> a ContinuousEvaluation of tmp_path."""

  def make(split='test', eval_dir='eval', **options):
    setup = evaluating_setup(tmp_path, split, eval_dir)
    job = EvalLoopJob(**options)
    return continuous.ContinuousEvaluation(setup, job, tmp_path)

  return make


def save(folder, step, right) -> str:
  """A checkpoint of which `right` of 10 records will be classified right."""
  path = folder / f'model.ckpt-{step}'
  pathlib.Path(f'{path}.data').write_text(str(right))
  pathlib.Path(f'{path}.index').touch()
  return str(path)


def best(folder) -> tuple[int, float]:
  content = json.loads((folder / 'best' / 'best.json').read_text())
  (checkpoint,) = store.in_folder(folder / 'best')
  assert store.step_of(checkpoint) == content['global_step']
  return content['global_step'], content['value']


def rows(folder) -> list[int]:
  path = folder / 'eval' / results_csv.FILE
  return [row['global_step'] for row in results_csv.read(path)]


def test_the_report_of_the_best_lies_beside_it(evaluation, tmp_path):
  with evaluation() as evaluating:
    for step, right in ((1, 5), (2, 9), (3, 7)):
      evaluating.check(save(tmp_path, step, right))
  assert best(tmp_path) == (2, 0.9)
  reports = [
    results.read_json(tmp_path / folder / 'results.json')['global_step']
    for folder in ('best', 'eval')
  ]
  assert reports == [2, 3]
  for folder, right in (('best', '9'), ('eval', '7')):
    text = (tmp_path / folder / 'confusion_matrix.csv').read_text()
    assert text.splitlines()[1] == f'a,{right},{10 - int(right)}'


def test_a_kill_after_an_evaluation_does_not_lose_the_best(
  evaluation, tmp_path, monkeypatch
):
  """results.csv is written last: what has a row there needs no repetition."""
  checkpoint = save(tmp_path, 1, 9)
  with monkeypatch.context() as patch:
    patch.setattr(Evaluator, 'publish', lambda *_: 1 / 0)
    with evaluation() as evaluating, pytest.raises(ZeroDivisionError):
      evaluating.check(checkpoint)
  assert best(tmp_path) == (1, 0.9)
  with evaluation() as evaluating:
    assert not evaluating.is_evaluated(1)
    evaluating.check(checkpoint)
    assert evaluating.is_evaluated(1)
  assert not evaluation(split='train').is_evaluated(1)


def kill_while_evaluating(evaluation, checkpoint, monkeypatch):
  """Leaves what a process leaves that is killed during an evaluation."""
  with monkeypatch.context() as patch:
    patch.setattr(continuous.shutil, 'rmtree', lambda *_, **__: None)
    patch.setattr(Evaluator, 'evaluate', lambda *_: 1 / 0)
    with evaluation() as evaluating, pytest.raises(ZeroDivisionError):
      evaluating.check(checkpoint)


def test_a_checkpoint_deleted_after_a_kill_is_still_evaluated(
  evaluation, tmp_path, monkeypatch
):
  killed = save(tmp_path, 1, 9)
  kill_while_evaluating(evaluation, killed, monkeypatch)
  store.delete(killed)
  with evaluation() as evaluating:
    evaluating.check(save(tmp_path, 2, 5))
  assert rows(tmp_path) == [1, 2]
  assert best(tmp_path) == (1, 0.9)
  assert not (tmp_path / 'best' / '.candidate').exists()


def test_a_checkpoint_that_is_still_there_after_a_kill_is_evaluated_once(
  evaluation, tmp_path, monkeypatch
):
  killed = save(tmp_path, 1, 9)
  kill_while_evaluating(evaluation, killed, monkeypatch)
  with evaluation() as evaluating:
    evaluating.check(killed)
  assert rows(tmp_path) == [1]


def test_a_kill_before_the_earlier_best_is_deleted_leaves_one(
  evaluation, tmp_path
):
  with evaluation() as evaluating:
    evaluating.check(save(tmp_path, 2, 9))
  save(tmp_path / 'best', 1, 8)
  with evaluation():
    assert best(tmp_path) == (2, 0.9)


def test_a_second_loop_evaluates_and_leaves_the_best_to_the_first(
  evaluation, tmp_path, capsys, monkeypatch
):
  checkpoint = save(tmp_path, 1, 5)
  better = save(tmp_path, 2, 9)
  with evaluation() as first, evaluation(eval_dir='other') as second:
    assert 'Another process is saving the best' in capsys.readouterr().err
    whole = Evaluator.evaluate

    def evaluate(self, path):
      """The second evaluates another one while the first does."""
      if path == checkpoint:
        second.check(better)
        assert not (tmp_path / 'best' / 'best.json').exists()
        assert store.in_folder(tmp_path / 'best' / '.candidate')
      return whole(self, path)

    monkeypatch.setattr(Evaluator, 'evaluate', evaluate)
    first.check(checkpoint)
  assert best(tmp_path) == (1, 0.5)
  (row,) = results_csv.read(tmp_path / 'other' / results_csv.FILE)
  assert row['global_step'] == 2
  with evaluation() as third:
    third.check(better)
  assert best(tmp_path) == (2, 0.9)


def test_a_train_dir_that_cannot_be_written_is_evaluated_without_a_best(
  evaluation, tmp_path, capsys, monkeypatch
):
  (tmp_path / 'best').touch()  # No folder can be made here.

  def refuse(*arguments):
    raise OSError(30, 'Read-only file system', 'early_stop.json')

  monkeypatch.setattr(run_status, 'request_stop', refuse)
  with evaluation(early_stop_patience=1) as evaluating:
    assert 'Cannot write into' in capsys.readouterr().err
    for step, right in ((1, 5), (2, 4)):
      evaluating.check(save(tmp_path, step, right))
    assert evaluating.patience_exhausted
  assert rows(tmp_path) == [1, 2]
  assert 'Training is not stopped: ' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('text', 'problem'),
  [
    ('{', 'is not JSON'),
    ('[]', 'for its content'),
    ('{"metric": "Accuracy"}', 'lacks dataset'),
    (
      '{"metric": "a", "dataset": "d", "split": "s", "checkpoint": "c",'
      ' "value": NaN}',
      'has NaN for value',
    ),
  ],
)
def test_a_damaged_best_json_is_refused_and_the_best_stays(
  evaluation, tmp_path, text, problem
):
  (tmp_path / 'best').mkdir()
  (tmp_path / 'best' / 'best.json').write_text(text)
  kept = save(tmp_path / 'best', 5, 9)
  with pytest.raises(
    UserError, match=rf'best\.json.*{problem}.*move .*best aw'
  ):
    evaluation()
  assert store.in_folder(tmp_path / 'best') == [kept]


def test_a_damaged_best_checkpoint_is_replaced_with_a_word(
  evaluation, tmp_path, capsys
):
  with evaluation() as evaluating:
    evaluating.check(save(tmp_path, 1, 9))
  path = tmp_path / 'best' / 'model.ckpt-1'
  pathlib.Path(f'{path}.data').unlink()
  pathlib.Path(f'{path}.data').write_text('?')
  with evaluation() as evaluating:
    assert f'{path}, is damaged: bad checksum.' in capsys.readouterr().err
    evaluating.check(save(tmp_path, 2, 5))
  assert best(tmp_path) == (2, 0.5)


def test_a_best_by_another_metric_or_split_is_replaced_with_a_word(
  evaluation, tmp_path, capsys
):
  checkpoint = save(tmp_path, 1, 5)
  with evaluation() as evaluating:
    evaluating.check(checkpoint)
  with evaluation(split='train', best_metric='loss') as evaluating:
    evaluating.check(checkpoint)
  assert (
    'the best checkpoint by Accuracy on digits/test: the best by loss on '
    'digits/train replaces it.'
  ) in capsys.readouterr().err


@pytest.mark.parametrize(
  ('metric', 'step'),
  [
    ('Accuracy', 1),
    ('balanced_accuracy', 1),
    # All are sure, so the error is the share of wrong ones.
    ('expected_calibration_error', 1),
    # Of a single class, it is not defined.
    ('macro_auroc', None),
  ],
)
def test_every_metric_knows_which_way_is_better(
  evaluation, tmp_path, metric, step
):
  with evaluation(best_metric=metric) as evaluating:
    for number, right in enumerate((9, 5), 1):
      evaluating.check(save(tmp_path, number, right))
  if step is None:
    assert not (tmp_path / 'best' / 'best.json').exists()
  else:
    assert best(tmp_path)[0] == step


def test_auroc_of_too_many_classes_is_refused(evaluation, monkeypatch):
  monkeypatch.setattr(continuous, 'MAX_CLASSES', 1)
  with pytest.raises(UserError, match=r'macro_auroc.* not for 2: choose'):
    evaluation(best_metric='macro_auroc')


def test_a_resumed_training_goes_on_counting(evaluation, tmp_path, monkeypatch):
  with evaluation(early_stop_patience=3) as evaluating:
    for step, right in ((1, 5), (2, 9), (3, 7), (4, 7), (9, 7)):
      evaluating.check(save(tmp_path, step, right))
  run_status.reset(str(tmp_path))
  resolved = evaluating_setup(tmp_path)
  monkeypatch.setattr(
    continuous.resolve, 'evaluation', lambda *_, **given: resolved
  )
  job = EvalLoopJob(early_stop_patience=3)
  job = types.SimpleNamespace(
    **vars(job), train_dir=str(tmp_path), train_image_size=None
  )
  setup = types.SimpleNamespace(job=job, is_resumed=True, start_step=4)
  with continuous.ContinuousEvaluation.within(setup) as evaluating:
    # After the best there were those of steps 3 and 4.
    assert not evaluating.patience_exhausted
    evaluating.check(save(tmp_path, 5, 8))
    assert evaluating.patience_exhausted


def test_an_early_stop_is_requested_once(evaluation, tmp_path, capsys):
  with evaluation(early_stop_patience=2) as evaluating:
    for step in range(1, 6):
      evaluating.check(save(tmp_path, step, 5))
  assert capsys.readouterr().err.count('Requesting an early stop') == 1


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
  """checkpoints() -> those of tmp_path; waiting calls `while_waiting`."""

  def make(while_waiting, **options):
    job = EvalLoopJob(checkpoint_path=str(tmp_path), **options)
    found = continuous._Checkpoints(job)
    monkeypatch.setattr(found, '_wait', while_waiting)
    return found

  return make


def test_after_an_early_stop_only_the_last_checkpoint_is_evaluated(
  checkpoints, tmp_path
):
  save(tmp_path, 1, 5)

  def training_ends():
    for step in (2, 3):
      save(tmp_path, step, 5)
    run_status.write_finished(str(tmp_path), 'early_stop', 3)

  with lock.exclusive(tmp_path):
    found = checkpoints(training_ends)
    steps = []
    for checkpoint in found:
      steps.append(store.step_of(checkpoint))
      found.only_last = True
  assert steps == [1, 3]


def test_after_an_early_stop_no_training_is_waited_for_that_does_not_run(
  checkpoints, tmp_path
):
  for step in (1, 2, 3):
    save(tmp_path, step, 5)
  found = checkpoints(lambda: pytest.fail('waited'))
  steps = []
  for checkpoint in found:
    steps.append(store.step_of(checkpoint))
    found.only_last = True
  assert steps == [1, 3]


def test_the_checkpoint_file_stands_for_its_folder(tmp_path):
  save(tmp_path, 1, 5)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "model.ckpt-1"')
  job = EvalLoopJob(
    checkpoint_path=os.fspath(tmp_path / 'checkpoint'), eval_timeout_secs=0
  )
  assert continuous._is_folder(job.checkpoint_path)
  assert [*continuous._Checkpoints(job)] == [str(tmp_path / 'model.ckpt-1')]
