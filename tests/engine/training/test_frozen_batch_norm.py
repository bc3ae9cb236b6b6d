import numpy as np
import pytest

from engine.checkpoints import matching, store
from engine.training import frozen_batch_norm
from tf_compat import few_runs, slim, tf


def values(checkpoint: str) -> dict[str, np.ndarray]:
  reader = tf.train.load_checkpoint(checkpoint)
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize(
  ('scopes', 'updated'),
  [
    (None, {'net/a1', 'net/a10'}),
    ({'net/a1'}, {'net/a1'}),
    ({'net'}, {'net/a1', 'net/a10'}),
    ({'other'}, set()),
  ],
)
def test_batch_norm_is_trained_in_its_scopes_alone(graph, scopes, updated):
  images = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 2))
  with frozen_batch_norm.outside(scopes), tf.variable_scope('net'):
    outputs = {
      name: slim.batch_norm(
        tf.constant(images, tf.float32), is_training=True, scope=name
      )
      for name in ('a1', 'a10')
    }
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert {'/'.join(op.name.split('/')[:2]) for op in updates} == updated
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for name, output in session.run(outputs).items():
      if f'net/{name}' in updated:
        assert abs(output.mean()) < 1e-5
      else:
        # The averages start at 0 and 1.
        np.testing.assert_allclose(output, images / np.sqrt(1.001), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('is_frozen', [True, False])
def test_statistics_outside_of_trained_scopes(train, tmp_path, is_frozen):
  """They stay to the bit, unless --nofreeze_batch_norm."""
  train(
    model_name='resnet_cifar_20',
    trainable_scopes='resnet_cifar_20/block3,resnet_cifar_20/logits',
    freeze_batch_norm=is_frozen,
    max_number_of_steps=2,
  )
  before, *_, after = (values(c) for c in store.in_folder(tmp_path / 'train'))
  moved = {
    name
    for name in before
    if matching.is_weight(name) and (before[name] != after[name]).any()
  }
  outside = {n for n in moved if '/block3/' not in n and '/logits/' not in n}
  assert any('/block3/' in name and 'moving' in name for name in moved)
  if is_frozen:
    assert not outside
  else:
    assert {name.rpartition('/')[2] for name in outside} == {
      'moving_mean', 'moving_variance',
    }  # fmt: skip
