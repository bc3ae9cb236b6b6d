"""Clones on logical CPUs and one device: same loss, same weights."""

import pathlib

import numpy as np
import pytest

from engine.checkpoints import store
from engine.run_dir import progress_csv
from errors import UserError
from tf_compat import tf

CLONES = {'num_clones': 2, 'clone_on_cpu': True}


def values(checkpoint: str) -> dict[str, np.ndarray]:
  """Returns all variables in a checkpoint."""
  reader = tf.train.load_checkpoint(checkpoint)
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


def losses(summary) -> list[float]:
  folder = pathlib.Path(summary.checkpoint).parent
  return progress_csv.read(folder / progress_csv.FILE)['loss'].tolist()


def assert_same(one, other):
  """Compares losses and checkpoints within float tolerance."""
  np.testing.assert_allclose(losses(other), losses(one), rtol=1e-4)
  first, second = values(one.checkpoint), values(other.checkpoint)
  assert set(first) == set(second)
  for name, value in first.items():
    scale = np.abs(value).max() + 1e-3
    np.testing.assert_allclose(
      second[name] / scale, value / scale, atol=1e-4, err_msg=name
    )


@pytest.mark.slow
def test_clones_make_the_same_steps_as_one_device(train):
  """With L2 losses, moving averages, clipping and attention."""
  options = {
    'attention_module': 'cbam_block', 'weight_decay': 0.01,
    'moving_average_decay': 0.9, 'gradient_clip_norm': 0.5,
    'num_epochs_per_decay': 0.3,
  }  # fmt: skip
  one = train('one', **options)
  two = train('two', batch_size=4, sync_batch_norm=True, **CLONES, **options)
  assert_same(one, two)


@pytest.mark.slow
@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_clones_combine_with_reduced_precision(train, precision):
  options = {'mixed_precision': precision, 'optimizer': 'adam'}
  one = train('one', **options)
  two = train('two', batch_size=4, sync_batch_norm=True, **CLONES, **options)
  np.testing.assert_allclose(losses(two), losses(one), rtol=2e-2)
  assert set(values(one.checkpoint)) == set(values(two.checkpoint))


@pytest.mark.slow
def test_moving_averages_cover_all_clones(train):
  """Without --sync_batch_norm, each clone has a mean; they are averaged."""
  one = train('one', max_number_of_steps=1, learning_rate=0.0)
  two = train(
    'two', max_number_of_steps=1, learning_rate=0.0, batch_size=4, **CLONES
  )
  name = 'Tiny/conv1/BatchNorm/moving_mean'
  expected = values(one.checkpoint)[name]
  assert np.abs(expected).max() > 1e-3
  np.testing.assert_allclose(
    values(two.checkpoint)[name], expected, rtol=1e-4, atol=1e-6
  )


@pytest.mark.slow
def test_clones_and_one_device_resume_from_each_other(train, tmp_path):
  train('run', max_number_of_steps=2, batch_size=4, **CLONES)
  assert train('run', max_number_of_steps=3).step == 3
  last = train(
    'run', max_number_of_steps=4, batch_size=4, eval_every_n_steps=4, **CLONES
  )
  assert store.step_of(last.checkpoint) == 4
  # Both clones evaluated it.
  assert store.in_folder(tmp_path / 'run' / 'best')


def test_more_clones_than_devices_are_refused(train):
  with pytest.raises(UserError, match=r'num_clones=64, but TensorFlow sees \d'):
    train('run', num_clones=64)
