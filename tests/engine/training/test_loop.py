"""Real training on tiny records: resuming, comparing, what a run leaves."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from engine.checkpoints import matching, store
from engine.optimization.schedules import SCHEDULES
from engine.run_dir import lock, progress_csv, results_csv, run_status
from errors import UserError
from preprocessing.augmentation import AUGMENTATIONS
from tf_compat import tf


def values(checkpoint: str) -> dict[str, np.ndarray]:
  """Everything in a checkpoint."""
  reader = tf.train.load_checkpoint(checkpoint)
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


def losses(train_dir) -> list[float]:
  return progress_csv.read(pathlib.Path(train_dir, progress_csv.FILE))[
    'loss'
  ].tolist()


def events(folder) -> dict[str, list]:
  """Tag -> (step, value) of every scalar in a folder's event files."""
  found = {}
  for path in sorted(pathlib.Path(folder).glob('events.*')):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        found.setdefault(value.tag, []).append((event.step, value.simple_value))
  return found


def test_a_run_learns_and_evaluates_and_tells(
  train, evaluate, tmp_path, capsys
):
  summary = train(
    max_number_of_steps=40, log_every_n_steps=10, batch_norm_decay=0.9
  )
  assert (summary.step, summary.reason, summary.exit_code) == (
    40, 'max_number_of_steps', 0,
  )  # fmt: skip
  assert summary.loss < 1.5  # log(10) = 2.3 is knowing nothing.
  result = evaluate()
  assert result.metrics['Accuracy'] > 0.5
  assert result.count == result.confusion.support().sum() == 23
  stderr = capsys.readouterr().err
  assert 'global step 40/40: loss = ' in stderr
  assert f'eval/Accuracy[{result.metrics["Accuracy"]:.5f}]' in stderr
  assert f'eval/Recall_5[{result.metrics["Recall_5"]:.5f}]' in stderr
  train_dir, eval_dir = tmp_path / 'train', tmp_path / 'train' / 'eval'
  names = {path.name for path in train_dir.iterdir()}
  assert {'job.json', 'curves.png', 'finished.json', 'progress.csv'} <= names
  assert json.loads((train_dir / 'finished.json').read_text())['reason'] == (
    'max_number_of_steps'
  )
  content = json.loads((eval_dir / 'results.json').read_text())
  assert content['global_step'] == 40
  assert content['metrics'] == pytest.approx(dict(result.metrics))
  assert events(eval_dir)['eval/Accuracy'] == [
    (40, pytest.approx(result.metrics['Accuracy']))
  ]
  assert {'total_loss', 'learning_rate', 'images_per_second'} <= set(
    events(train_dir)
  )


@pytest.mark.slow
def test_gates_and_weights_are_summarised(train, tmp_path):
  train(attention_module='cbam_block')
  shown = events(tmp_path / 'train')
  gates = [tag for tag in shown if tag.startswith('gates/')]
  assert len(gates) == 8  # Two points, two gates each, mean and spread.
  mean = next(tag for tag in gates if tag.endswith('mean'))
  assert 0 < shown[mean][0][1] < 1
  assert 'weights/LeNet/pool1_CBAM/ch_at/mlp_0/kernel' in shown


@pytest.mark.slow
def test_the_job_holds_what_was_resolved(train, tmp_path):
  train(attention_module='cbam_block(ratio=8)')
  job = json.loads((tmp_path / 'train' / 'job.json').read_text())
  assert job['options']['train_image_size'] == 28
  assert job['options']['preprocessing_name'] == 'lenet'
  assert job['options']['attention_module'] == 'cbam_block'
  assert (job['num_classes'], job['channels'], job['num_records']) == (
    10,
    1,
    40,
  )
  assert job['trainable_parameters'] > 3_000_000


@pytest.mark.slow
def test_the_same_seed_gives_identical_losses(train, tmp_path):
  for name in 'ab':
    train(train_dir=str(tmp_path / name), max_number_of_steps=6)
  assert losses(tmp_path / 'a') == losses(tmp_path / 'b')
  train(train_dir=str(tmp_path / 'c'), max_number_of_steps=6, seed=2)
  assert losses(tmp_path / 'c') != losses(tmp_path / 'a')


@pytest.mark.slow
def test_augmentation_repeats_with_the_seed_and_trains(train, tmp_path):
  text = 'randaugment(layers=1) + autoaugment + cutout(size=4) + '
  text += 'random_erasing + mixup + cutmix'
  assert all(name in text for name in AUGMENTATIONS)
  for name in 'ab':
    train(train_dir=str(tmp_path / name), max_number_of_steps=4, augment=text)
  train(train_dir=str(tmp_path / 'c'), max_number_of_steps=4)
  assert losses(tmp_path / 'a') == losses(tmp_path / 'b')
  assert losses(tmp_path / 'a') != losses(tmp_path / 'c')
  with pytest.raises(UserError, match="Unknown augmentation 'mixpu'"):
    train(augment='mixpu')


@pytest.mark.slow
@pytest.mark.parametrize(
  'options',
  [
    {'augment': 'randaugment(layers=1) + mixup', 'mixed_precision': 'float16'},
    {'cache': True, 'num_clones': 2, 'moving_average_decay': 0.5},
    {
      'balanced_sampling': True,
      'class_weights': 'balanced',
      'loss': 'focal',
      'accumulate_steps': 2,
    },
  ],
  ids=lambda options: '+'.join(options),
)
def test_a_resumed_run_ends_with_the_weights_of_one_that_was_not_stopped(
  train, tmp_path, options
):
  """Records, distortions, dropout, learning rate and moving averages."""
  options |= {'num_epochs_per_decay': 1.0, 'clone_on_cpu': True}
  straight = train(
    train_dir=str(tmp_path / 'a'), max_number_of_steps=12, **options
  )
  for step in (3, 4, 8, 12):
    resumed = train(
      train_dir=str(tmp_path / 'b'), max_number_of_steps=step, **options
    )
  rates = [
    progress_csv.read(tmp_path / name / progress_csv.FILE)['learning_rate']
    for name in 'ab'
  ]
  assert rates[0].tolist() == rates[1].tolist()
  assert len(set(rates[0])) > 1
  one, other = values(straight.checkpoint), values(resumed.checkpoint)
  assert set(one) == set(other)
  for name, value in one.items():
    np.testing.assert_array_equal(other[name], value, err_msg=name)


@pytest.mark.slow
def test_resuming_drops_what_was_logged_after_the_checkpoint(train, tmp_path):
  train(max_number_of_steps=4)
  store.delete(str(tmp_path / 'train' / 'model.ckpt-4'))
  train(max_number_of_steps=6)
  steps = progress_csv.read(tmp_path / 'train' / progress_csv.FILE)[
    'step'
  ].tolist()
  assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_finished_run_says_so_and_can_be_prolonged(train, capsys):
  train(max_number_of_steps=2)
  again = train(max_number_of_steps=2)
  assert 'Already finished at step 2' in capsys.readouterr().err
  assert again.step == 2
  assert train(max_number_of_steps=3).step == 3


def finished(train_dir) -> dict:
  content = json.loads((train_dir / 'finished.json').read_text())
  return {key: content[key] for key in ('reason', 'global_step')}


@pytest.mark.slow
def test_fewer_steps_than_an_early_stop_leave_its_reason(
  train, tmp_path, capsys
):
  train(max_number_of_steps=3)
  run_status.write_finished(str(tmp_path / 'train'), 'early_stop', 3)
  again = train(max_number_of_steps=2)
  assert (again.step, again.reason) == (3, 'early_stop')
  assert 'at step 3 (early_stop): set --max_number_of_steps above 3 to' in (
    capsys.readouterr().err
  )
  assert finished(tmp_path / 'train') == {
    'reason': 'early_stop', 'global_step': 3,
  }  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_before_finished_json_gets_it(train, tmp_path):
  train(max_number_of_steps=2)
  (tmp_path / 'train' / 'finished.json').unlink()
  train(max_number_of_steps=2)
  assert finished(tmp_path / 'train') == {
    'reason': 'max_number_of_steps', 'global_step': 2,
  }  # fmt: skip


def copy_checkpoint(source: str, target: pathlib.Path) -> None:
  target.parent.mkdir(exist_ok=True)
  path = pathlib.Path(source)
  for part in path.parent.glob(f'{path.name}.*'):
    ending = part.name.removeprefix(path.name)
    target.with_name(target.name + ending).write_bytes(part.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize('last_step', [1, 9])
@pytest.mark.parametrize(
  ('model_name', 'number', 'message'),
  [
    ('lenet', 9, 'model.ckpt-9 was saved at step 1, contrary to its name'),
    ('cifarnet', 1, 'model.ckpt-1 is of another network'),
  ],
)
def test_a_foreign_checkpoint_is_no_finished_run(
  train, tmp_path, last_step, model_name, number, message
):
  """Whether its number is below --max_number_of_steps or not."""
  train_dir = tmp_path / 'train'
  other = train(
    train_dir=str(tmp_path / 'other'), model_name=model_name,
    max_number_of_steps=1,
  )  # fmt: skip
  copy_checkpoint(other.checkpoint, train_dir / f'model.ckpt-{number}')
  with pytest.raises(UserError, match=message):
    train(max_number_of_steps=last_step)
  assert not run_status.is_finished(train_dir)


@pytest.mark.slow
def test_a_checkpoint_without_a_number_is_no_run(train, tmp_path):
  saved = train(max_number_of_steps=1).checkpoint
  copy_checkpoint(saved, tmp_path / 'other' / 'lenet.ckpt')
  with pytest.raises(UserError, match=r'lenet\.ckpt is no checkpoint of a run'):
    train(train_dir=str(tmp_path / 'other'), max_number_of_steps=4)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['run [lr=0.1]', 'run?'])
def test_a_run_folder_whose_name_tensorflow_reads_as_a_pattern(
  train, evaluate, digits, tmp_path, name
):
  """It is saved, found, resumed and evaluated; 'run1' beside it stays."""
  data = shutil.copytree(digits, tmp_path / 'data [a]*')
  neighbour = train(train_dir=str(tmp_path / 'run1'), max_number_of_steps=1)
  folder = tmp_path / name
  for last in (1, 2, 3):
    summary = train(
      train_dir=str(folder), max_number_of_steps=last, keep_checkpoint_max=2,
      eval_every_n_steps=1, dataset_dir=str(data),
    )  # fmt: skip
    assert summary.checkpoint == str(folder / f'model.ckpt-{last}')
  kept = [str(folder / f'model.ckpt-{step}') for step in (2, 3)]
  assert store.in_folder(folder) == kept
  assert len(losses(folder)) == 3
  assert 'total_loss' in events(folder)
  assert evaluate(folder, eval_dir=str(folder / 'e [1]')).global_step == 3
  assert 'eval/Accuracy' in events(folder / 'e [1]')
  assert store.read_problem(neighbour.checkpoint) is None


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_costs_only_its_steps(
  train, tmp_path, capsys
):
  train(max_number_of_steps=2)
  train(max_number_of_steps=4)
  data = tmp_path / 'train' / 'model.ckpt-4.data-00000-of-00001'
  data.write_bytes(data.read_bytes()[:1000])
  assert train(max_number_of_steps=5).step == 5
  stderr = capsys.readouterr().err
  assert 'model.ckpt-4, which is damaged' in stderr
  assert 'Resuming from' in stderr
  assert 'model.ckpt-2.' in stderr.partition('Resuming from')[2]


@pytest.mark.slow
@pytest.mark.parametrize('schedule', SCHEDULES)
def test_every_schedule_trains(train, schedule):
  summary = train(learning_rate_decay_type=schedule, warmup_epochs=0.2)
  assert np.isfinite(summary.loss)


@pytest.mark.slow
@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'float16'])
def test_every_precision_trains(train, precision):
  """The rewriters' wiring: on a CPU float16 casts nothing."""
  summary = train(mixed_precision=precision, max_number_of_steps=30)
  assert summary.loss < 2.0


@pytest.mark.slow
def test_float16_keeps_its_loss_scale(train):
  summary = train(mixed_precision='float16')
  assert any('loss_scale' in name for name in values(summary.checkpoint))


@pytest.mark.slow
def test_clipping_bounds_the_step(train, tmp_path):
  """SGD moves the weights by rate * clipped gradient, of this norm."""
  options = {
    'optimizer': 'sgd', 'learning_rate': 1.0, 'learning_rate_decay_type':
    'fixed', 'gradient_clip_norm': 0.01, 'max_number_of_steps': 1,
  }  # fmt: skip
  train(**options)
  before, after = (values(c) for c in store.in_folder(tmp_path / 'train'))
  moved = sum(
    np.sum((after[n] - before[n]) ** 2) for n in before if matching.is_weight(n)
  )
  assert np.sqrt(moved) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.slow
def test_label_smoothing_and_weight_decay_enter_the_loss(train, tmp_path):
  """At the same first step: smoothed cross-entropy is another number."""
  for name, options in {
    'plain': {},
    'smooth': {'label_smoothing': 0.5},
    'decay': {'weight_decay': 0.1},
  }.items():
    train(train_dir=str(tmp_path / name), max_number_of_steps=1, **options)
  plain, smooth, decay = (
    losses(tmp_path / name)[0] for name in ('plain', 'smooth', 'decay')
  )
  assert smooth != pytest.approx(plain, abs=1e-3)
  assert decay > plain + 1


@pytest.mark.slow
def test_averages_include_statistics_and_attention(train):
  """One step with decay 0.5: average = old + (new - old) * (1 - d), d = 1/10.

  TensorFlow ramps the decay up as min(decay, (1 + n) / (10 + n)).
  """
  summary = train(
    model_name='resnet_cifar_20', train_image_size=32, batch_size=2,
    attention_module='se_block', moving_average_decay=0.5,
    max_number_of_steps=1,
  )  # fmt: skip
  old = values(f'{summary.checkpoint.removesuffix("-1")}-0')
  new = values(summary.checkpoint)
  names = [name for name in new if matching.is_weight(name)]
  assert any(name.endswith('moving_variance') for name in names)
  assert any('se_block' in name for name in names)
  decay = 2 / 11
  for name in names:
    expected = decay * old[name] + (1 - decay) * new[name]
    np.testing.assert_allclose(
      new[name + matching.AVERAGE], expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.slow
def test_batch_norm_decay_is_the_flag(train, tmp_path):
  """moving_mean moves by (1 - decay) of the batch's mean in a step."""
  options = {
    'model_name': 'resnet_cifar_20', 'train_image_size': 32, 'batch_size': 2,
    'max_number_of_steps': 1,
  }  # fmt: skip
  name = 'resnet_cifar_20/conv1/BatchNorm/moving_mean'
  moved = {}
  for decay in (0.9, 0.5):
    summary = train(
      batch_norm_decay=decay, train_dir=str(tmp_path / str(decay)), **options
    )
    moved[decay] = values(summary.checkpoint)[name]
  np.testing.assert_allclose(moved[0.5], 5 * moved[0.9], rtol=1e-3, atol=1e-6)


def test_only_trainable_scopes_move(train, tmp_path):
  train(trainable_scopes='LeNet/fc4', max_number_of_steps=1)
  before, after = (values(c) for c in store.in_folder(tmp_path / 'train'))
  moved = {
    name
    for name in before
    if matching.is_weight(name) and (before[name] != after[name]).any()
  }
  assert moved == {'LeNet/fc4/weights', 'LeNet/fc4/biases'}


@pytest.mark.slow
def test_old_checkpoints_go(train, tmp_path):
  train(eval_every_n_steps=1, keep_checkpoint_max=2, max_number_of_steps=4)
  kept = [store.step_of(c) for c in
          store.in_folder(tmp_path / 'train')]  # fmt: skip
  assert kept == [3, 4]
  train(eval_every_n_steps=1, keep_checkpoint_max=2, max_number_of_steps=5)
  kept = [store.step_of(c) for c in
          store.in_folder(tmp_path / 'train')]  # fmt: skip
  assert kept == [4, 5]


@pytest.mark.slow
def test_validation_within_training_keeps_the_best(train, tmp_path):
  train(eval_every_n_steps=5, max_number_of_steps=15)
  rows = results_csv.read(tmp_path / 'train' / 'eval' / results_csv.FILE)
  assert [row['global_step'] for row in rows] == [5, 10, 15]
  best = json.loads((tmp_path / 'train' / 'best' / 'best.json').read_text())
  assert best['value'] == max(row['Accuracy'] for row in rows)
  (kept,) = store.in_folder(tmp_path / 'train' / 'best')
  assert store.step_of(kept) == best['global_step']
  assert store.read_problem(kept) is None


@pytest.mark.slow
def test_validation_within_training_stops_early(train, tmp_path):
  summary = train(
    eval_every_n_steps=1, early_stop_patience=2, learning_rate=0.0,
    log_every_n_steps=1, max_number_of_steps=200,
  )  # fmt: skip
  assert summary.reason == 'early_stop'
  assert summary.step < 200
  assert run_status.is_finished(tmp_path / 'train')


@pytest.mark.slow
def test_a_non_finite_loss_stops_and_names_the_last_good_one(train, tmp_path):
  with pytest.raises(
    UserError, match=r'is (nan|inf) at step \d+, .*good checkpoint is .*ckpt-0'
  ):
    train(learning_rate=1e30, optimizer='sgd', max_number_of_steps=50)
  finished = json.loads((tmp_path / 'train' / 'finished.json').read_text())
  assert finished['reason'] == 'non_finite'
  (only,) = store.in_folder(tmp_path / 'train')
  assert store.step_of(only) == 0


@pytest.mark.slow
def test_the_guard_can_be_told_otherwise(train):
  summary = train(
    learning_rate=1e30, optimizer='sgd', max_number_of_steps=5,
    stop_on_nan=False,
  )  # fmt: skip
  assert summary.step == 5


@pytest.mark.slow
def test_bad_records_are_named_or_left_out(train, train_job, tmp_path, digits):
  data = tmp_path / 'data'
  data.mkdir()
  for path in digits.glob('*.tfrecord'):
    content = bytearray(path.read_bytes())
    if 'train' in path.name:
      content[len(content) // 2] ^= 255
    (data / path.name).write_bytes(content)
  with pytest.raises(UserError, match=r'digits_train\.tfrecord.*record \d+'):
    train(dataset_dir=str(data), max_number_of_steps=50)
  summary = train(
    dataset_dir=str(data), max_number_of_steps=10, skip_bad_records=True,
    train_dir=str(tmp_path / 'other'),
  )  # fmt: skip
  assert summary.step == 10


@pytest.mark.slow
def test_an_offset_that_drops_a_class_is_not_answered_by_skipping(
  train, capsys
):
  with pytest.raises(
    UserError,
    match=r'label 0 is outside 1\.\.9.*labels of digits start at 0: omit --lab',
  ) as refused:
    train(labels_offset=1, max_number_of_steps=50)
  assert 'skip_bad_records' not in str(refused.value)
  warning = "Warning: --labels_offset=1 drops the class 'zero' of digits"
  assert capsys.readouterr().err.count(warning) == 1


@pytest.mark.slow
def test_a_run_whose_loss_has_risen_ends_with_a_warning(train, capsys):
  train(
    learning_rate=1e3, optimizer='sgd', max_number_of_steps=6,
    stop_on_nan=False,
  )  # fmt: skip
  stderr = capsys.readouterr().err
  assert '--learning_rate=1000 is very high: 0.01 is usual' in stderr
  assert re.search(r'Warning: the loss has risen to .*such as 0\.01\.', stderr)


@pytest.mark.slow
def test_a_run_folder_that_is_deleted_ends_the_run(
  train, tmp_path, monkeypatch
):
  from engine.training.hooks import LoggingHook

  report = LoggingHook._report

  def delete_and_report(self, *arguments):
    shutil.rmtree(tmp_path / 'train')
    report(self, *arguments)

  monkeypatch.setattr(LoggingHook, '_report', delete_and_report)
  with pytest.raises(
    UserError, match=r'train was deleted or moved: job\.json is'
  ):
    train(max_number_of_steps=20, log_every_n_steps=5)
  assert not store.in_folder(tmp_path / 'train')


@pytest.mark.slow
def test_an_evaluation_that_a_kill_interrupted_is_made_when_resumed(
  train, tmp_path
):
  options = {'eval_every_n_steps': 2}
  train(max_number_of_steps=4, **options)
  results_path = tmp_path / 'train' / 'eval' / results_csv.FILE
  text = results_path.read_text()
  results_path.write_text(text[: text.rindex('\n', 0, -1) + 1])
  shutil.rmtree(tmp_path / 'train' / 'best')
  train(max_number_of_steps=6, **options)
  steps = [row['global_step'] for row in results_csv.read(results_path)]
  assert steps == [2, 4, 6]


@pytest.mark.slow
def test_two_trainings_do_not_share_a_folder(train, tmp_path):
  (tmp_path / 'train').mkdir()
  with (
    lock.exclusive(str(tmp_path / 'train')),
    pytest.raises(UserError, match='Another process is training in'),
  ):
    train()
  assert train(max_number_of_steps=1).step == 1


@pytest.mark.slow
def test_the_last_step_is_logged_however_few_there_are(train, tmp_path):
  train(max_number_of_steps=3, log_every_n_steps=2)
  steps = progress_csv.read(tmp_path / 'train' / progress_csv.FILE)['step']
  assert steps.tolist() == [2, 3]


@pytest.mark.slow
def test_an_evaluation_of_the_last_step_that_a_kill_prevented(train, tmp_path):
  """The last checkpoint was saved, and the process killed before its result."""
  options = {'eval_every_n_steps': 2, 'max_number_of_steps': 4}
  train(**options)
  path = tmp_path / 'train' / 'eval' / results_csv.FILE
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(lines[:-1]))
  (tmp_path / 'train' / 'finished.json').unlink()
  train(**options)
  assert [row['global_step'] for row in results_csv.read(path)] == [2, 4]
  train(**options)
  assert [row['global_step'] for row in results_csv.read(path)] == [2, 4]
