import json
import types

import pytest

from engine.evaluation import diagnosis
from engine.run_dir import progress_csv


@pytest.fixture
def advise(tmp_path):
  """advise(training's accuracies, evaluation's) -> the line on a finished run."""

  def advise(
    trained,
    evaluated,
    split='validation',
    step=30,
    losses=None,
    num_classes=10,
    **more,
  ):
    options = {
      'model_name': 'lenet', 'attention_module': None, 'dataset_name': 'digits',
      'max_number_of_steps': 30, 'dataset_split_name': 'train', **more,
    }  # fmt: skip
    (tmp_path / 'job.json').write_text(
      json.dumps({'options': options, 'num_classes': 10})
    )
    for number, accuracy in enumerate(trained):
      loss = losses[number] if losses else 1.0
      progress_csv.append(
        tmp_path / progress_csv.FILE, number, 1.0, 0.1, 9.0, loss, accuracy
      )
    result = types.SimpleNamespace(
      checkpoint=str(tmp_path / f'model.ckpt-{step}'),
      global_step=step,
      split=split,
      metrics={'Accuracy': evaluated},
    )
    return diagnosis.of_run(result, num_classes)

  return advise


# The mean of the last tenth counts.
RISING = [0.1] * 18 + [0.9, 0.94]


@pytest.mark.parametrize(
  ('trained', 'evaluated', 'words'),
  [
    (RISING, 0.9, None),
    (RISING, 0.8, None),
    (RISING, 0.7, 'is 0.920 in training, and 0.700 at evaluation'),
    (RISING, 0.12, 'are both splits of the same classes'),
    ([0.14], 0.0, 'near the 0.100 of guessing: a lower'),
    ([0.11], 0.1, 'near the 0.100 of guessing: a lower --learning_rate'),
    ([0.5], 0.9, None),
    ([], 0.1, None),
    ([None], 0.1, None),
  ],
)
def test_what_accuracies_say(advise, trained, evaluated, words):
  line = advise(trained, evaluated)
  assert line is None if words is None else words in line


def test_two_classes_are_guessed_by_half(advise):
  line = advise([0.97], 0.72, num_classes=2)
  assert 'knows its training images by heart' in line
  assert 'near the 0.500 of guessing: a' in advise([0.5], 0.52, num_classes=2)


def test_unfinished_runs_and_the_training_split_say_nothing(advise):
  assert advise(RISING, 0.1, step=20) is None
  assert advise(RISING, 0.1, split='train') is None


@pytest.mark.parametrize(
  ('evaluated', 'decay', 'words'),
  [
    # 0.9997 ** 30, the decay of the network's family.
    (0.3, None, 'still hold 99% of their first values'),
    (0.3, 0.95, 'still hold 21% of'),
    (0.3, 0.9, 'knows its training images by heart'),
    (0.9, None, None),
  ],
)
def test_moving_averages_that_are_too_slow(advise, evaluated, decay, words):
  line = advise(
    RISING, evaluated, model_name='inception_v1', batch_norm_decay=decay
  )
  assert line is None if words is None else words in line


@pytest.mark.parametrize(
  'options',
  [
    {
      'model_name': 'inception_v1',
      'trainable_scopes': 'InceptionV1/Logits',
      'freeze_batch_norm': True,
    },
    {'model_name': 'lenet', 'batch_norm_decay': 0.99},
  ],
)
def test_averages_that_do_not_move_are_not_too_slow(advise, options):
  assert 'knows its training images by heart' in advise(RISING, 0.3, **options)


def test_moving_averages_follow_each_batch_of_a_step(advise):
  options = {'model_name': 'inception_v1', 'batch_norm_decay': 0.95}
  # 0.95 ** 60.
  line = advise(RISING, 0.3, accumulate_steps=2, **options)
  assert 'knows its training images by heart' in line


@pytest.mark.parametrize(
  ('losses', 'is_told'),
  [
    ([2.0, 1.0] * 10, True),
    ([1.0, 0.9] * 10, False),
    # A trend, and jumps near 0.
    ([4 - 0.15 * n for n in range(20)], False),
    ([0.2, 0.05] * 10, False),
  ],
)
def test_a_loss_that_jumps(advise, losses, is_told):
  line = advise(RISING, 0.9, losses=losses)
  assert is_told == bool(line)
  assert not is_told or 'the learning rate, 0.1 at the end, is too high' in line
