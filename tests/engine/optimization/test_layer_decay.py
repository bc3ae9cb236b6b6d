"""The learning rate of each layer by its depth."""

import re

import numpy as np
import pytest

from engine.config.jobs import TrainJob
from engine.optimization import layer_decay
from engine.optimization.optimizers import OPTIMIZERS
from nets import nets_factory
from tf_compat import few_runs, tf


def depths(name, size, attention=None):
  """Name of a variable, below the network's scope -> depth."""
  fn = nets_factory.get_network_fn(
    name, 10, is_training=True, attention_module=attention
  )
  channels = nets_factory.NETWORKS[name].channels or 3
  fn(tf.zeros([2, size, size, channels]))
  found = layer_decay.depths()
  assert [*found] == [v.op.name for v in tf.trainable_variables()]
  return {name.partition('/')[2]: depth for name, depth in found.items()}


@pytest.mark.parametrize('attention', [None, 'se_block'])
def test_a_unit_of_a_resnet_is_a_block(graph, attention):
  found = depths('resnet_cifar_20', 32, attention)
  for name, depth in found.items():
    unit = re.match(r'block(\d)/unit_(\d)/', name)
    if unit:
      block, number = map(int, unit.groups())
      assert depth == 3 * (block - 1) + number - 1, name
    else:
      assert depth == (9 if name.startswith('logits') else 0), name
  assert found['conv1/weights'] == 0
  assert found['logits/weights'] == 9


def test_an_inverted_residual_of_a_mobilenet_is_a_block(graph):
  found = depths('mobilenet_v2', 32)
  assert found['Conv/weights'] == 0
  for name, depth in found.items():
    block = re.match(r'expanded_conv_?(\d*)/', name)
    if block:
      assert depth == int(block[1] or 0), name
  assert found['Conv_1/weights'] == found['Logits/Conv2d_1c_1x1/weights'] == 17


def test_other_heads_are_as_deep_as_the_logits(graph):
  found = depths('inception_v3', 299)
  heads = {d for name, d in found.items() if 'AuxLogits' in name}
  assert heads == {found['Logits/Conv2d_1c_1x1/weights']}
  assert found['Conv2d_1a_3x3/weights'] == 0


def test_factors_fall_from_the_logits(graph):
  depths('lenet', 28)
  found = layer_decay.factors(0.5)
  assert found['LeNet/conv1/weights'] == 0.25
  assert found['LeNet/conv2/biases'] == 0.5
  assert found['LeNet/fc3/weights'] == found['LeNet/fc4/weights'] == 1


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_optimizer_takes_the_rate_of_each_variable(graph, name):
  """As if each had an optimizer with a learning rate of its own."""
  rng = np.random.default_rng(0)
  start = rng.normal(size=(2, 4, 3))
  factors = (0.25, 1.0)

  def loss(variables):
    return sum(tf.reduce_sum(tf.square(v - 1)) for v in variables)

  def make(rate):
    job = TrainJob(optimizer=name, opt_epsilon=0.1, weight_decay=0.01)
    return OPTIMIZERS[name].make(job, tf.constant(rate, tf.float64))

  scaled = [tf.get_variable(f'a{i}', initializer=start[i]) for i in range(2)]
  alone = [tf.get_variable(f'b{i}', initializer=start[i]) for i in range(2)]
  optimizer = make(0.1)
  layer_decay.scale_rates(
    optimizer,
    {v.op.name: f for v, f in zip(scaled, factors, strict=True)},
  )
  steps = [optimizer.minimize(loss(scaled))]
  for variable, factor in zip(alone, factors, strict=True):
    own = make(0.1 * factor)
    steps.append(own.minimize(loss([variable]), var_list=[variable]))
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for _ in range(3):
      session.run(steps)
    values = session.run([scaled, alone])
  for one, other, before in zip(*values, start, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert not np.allclose(one, before)
