"""Fine-tuning as a process, precedence of flags, folders without job.json."""

import json
import re

import numpy as np
import pytest

from engine.checkpoints import store
from tf_compat import tf

# Each starts processes.
pytestmark = pytest.mark.slow


def values(checkpoint) -> dict[str, np.ndarray]:
  reader = tf.train.load_checkpoint(str(checkpoint))
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


@pytest.fixture
def tune(run, digits):
  """tune(**flags) -> the Process of a training with few flags by default."""

  def tune(*flags, **more):
    defaults = {
      'train_dir': 'tuned',
      'dataset_name': 'digits',
      'dataset_dir': digits,
      'batch_size': 8,
      'optimizer': 'sgd',
      'max_number_of_steps': 1,
    }
    return run('train', *flags, **{**defaults, **more})

  return tune


def test_a_plain_network_gets_attention(tune, trained, tmp_path):
  """Attention is initialized, and everything else restored."""
  process = tune(checkpoint_path=trained / 'train', learning_rate=0,
                 attention_module='cbam_block')  # fmt: skip
  assert process.code == 0, process.stderr
  assert re.search(r'so initialized: .* and \d+ more\.', process.stderr)
  fresh = (tmp_path / 'tuned' / 'initialised.txt').read_text().splitlines()
  old = values(trained / 'train' / 'model.ckpt-4')
  new = values(tmp_path / 'tuned' / 'model.ckpt-0')
  assert set(fresh) == set(new) - set(old)
  for name in set(old) - {'global_step'}:
    np.testing.assert_array_equal(new[name], old[name])
  # Inherited from the checkpoint's job: network, image size, preprocessing.
  job = json.loads((tmp_path / 'tuned' / 'job.json').read_text())['options']
  assert (job['model_name'], job['train_image_size']) == ('cifarnet', 16)
  assert job['attention_module'] == 'cbam_block'


def test_an_excluded_layer_may_have_other_classes(tune, trained, tmp_path):
  process = tune(
    checkpoint_path=trained / 'train' / 'model.ckpt-4',
    checkpoint_exclude_scopes='CifarNet/logits', labels_offset=1,
    dataset_dir=without_label_0(tmp_path), learning_rate=0,
  )  # fmt: skip
  assert process.code == 0, process.stderr
  old = values(trained / 'train' / 'model.ckpt-4')
  new = values(tmp_path / 'tuned' / 'model.ckpt-0')
  assert new['CifarNet/logits/weights'].shape[-1] == 9
  np.testing.assert_array_equal(
    new['CifarNet/conv1/weights'], old['CifarNet/conv1/weights']
  )


def without_label_0(tmp_path):
  """Writes digits without label 0, and returns their folder."""
  from tiny_data import encode_pixels, striped_images

  from datasets import records

  folder = tmp_path / 'data'
  folder.mkdir()
  pairs = zip(*striped_images(40, 0), strict=True)
  pairs = [pair for pair in pairs if pair[1]]
  records.write_shard(folder / 'digits_train.tfrecord', pairs, encode_pixels)
  return folder


def test_only_trainable_scopes_change(tune, trained, tmp_path):
  process = tune(
    checkpoint_path=trained / 'train', learning_rate=0.1,
    trainable_scopes='CifarNet/logits,CifarNet/fc4',
  )  # fmt: skip
  assert process.code == 0, process.stderr
  old = values(trained / 'train' / 'model.ckpt-4')
  new = values(tmp_path / 'tuned' / 'model.ckpt-1')
  changed = {n for n in old if n in new and (old[n] != new[n]).any()}
  assert changed - {'global_step'} == {
    f'CifarNet/{layer}/{part}'
    for layer in ('logits', 'fc4')
    for part in ('weights', 'biases')
  }


def test_missing_variables_are_refused_or_ignored(
  tune, trained, tmp_path, small
):
  """A checkpoint without its last layer, as some are published."""
  complete = values(trained / 'train' / 'model.ckpt-4')
  with tf.Graph().as_default(), tf.Session() as session:
    variables = [
      tf.Variable(value, name=name)
      for name, value in complete.items()
      if '/logits/' not in name
    ]
    session.run(tf.global_variables_initializer())
    tf.train.Saver(variables).save(session, str(tmp_path / 'cut.ckpt'))
  flags = {
    'checkpoint_path': 'cut.ckpt', 'model_name': 'cifarnet',
    'train_image_size': 16,
  }  # fmt: skip
  refused = tune(**flags)
  assert re.search(
    r'it lacks CifarNet/logits/.*--ignore_missing_vars', refused.error
  )
  process = tune('--ignore_missing_vars', **flags)
  assert process.code == 0, process.stderr
  assert re.search('initialized: CifarNet/logits/.*, CifarNet/logits/',
                   process.stderr)  # fmt: skip


def test_resuming_ignores_the_checkpoint_path(tune, trained):
  assert tune(checkpoint_path=trained / 'train').code == 0
  again = tune(checkpoint_path=trained / 'train', max_number_of_steps=2)
  assert again.code == 0, again.stderr
  assert 'Resuming from tuned/model.ckpt-1.' in again.stderr
  assert 'Ignoring --checkpoint_path' in again.stderr


def test_overriding_flags_are_printed(run, copied):
  process = run(
    'train', train_dir='train', max_number_of_steps=5, learning_rate=0.5,
    log_every_n_steps=1,
  )  # fmt: skip
  assert process.code == 0, process.stderr
  assert re.search(r'--learning_rate=0\.5 instead of 0\.01', process.stderr)
  assert re.search(r'global step 5/5: .*learning rate = 0\.5', process.stderr)
  process = run(
    'eval', checkpoint_path='train', preprocessing_name='lenet',
    moving_average_decay=0.9,
  )  # fmt: skip
  assert process.code == 0, process.stderr
  assert '--preprocessing_name=lenet instead of cifarnet' in process.stderr
  assert re.search('No moving average in .*raw values', process.stderr)


def test_a_folder_of_tf_slim_is_recognized_by_its_variables(
  run, train, copied, small, digits
):
  """TF-Slim wrote no job.json: flags and variables must suffice."""
  (copied / 'job.json').unlink()
  flags = {
    'dataset_name': 'digits', 'dataset_dir': digits, 'model_name': 'cifarnet',
  }  # fmt: skip
  process = run('eval', checkpoint_path='train', eval_image_size=16, **flags)
  assert process.code == 0, process.stderr
  assert '23 records' in process.stderr
  process = train(max_number_of_steps=5)
  assert process.code == 0, process.stderr
  assert 'Resuming from train/model.ckpt-4.' in process.stderr
  assert (copied / 'job.json').exists()
  assert store.newest_readable(copied).endswith('-5')
