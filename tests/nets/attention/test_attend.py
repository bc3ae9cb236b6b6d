"""attend(): scopes, attention points, collections and arg scopes."""

import dataclasses

import numpy as np
import pytest

from nets.attention import attention_factory
from nets.attention.attend import (
  BLOCK,
  CLASS,
  GATES,
  LATER,
  STAGE,
  Stages,
  attend,
)
from nets.attention.attention_factory import AttentionModule
from registry import Table
from tf_compat import few_runs, slim, tf


@dataclasses.dataclass
class Probe:
  """A module with slim layers, to which the network's arg scope could apply."""

  name: str = 'probe_block'
  tag: str = 'PROBE'
  places: frozenset[str] = frozenset({BLOCK})

  def __call__(self, net):
    gate = slim.conv2d(net, net.shape[-1], 3, scope='conv')
    return net * gate, (gate,)


HOST = {
  'normalizer_fn': slim.batch_norm,
  'activation_fn': tf.nn.relu,
  'padding': 'VALID',
  'outputs_collections': 'end_points',
  'weights_regularizer': slim.l2_regularizer(3.0),
}


def names():
  return [variable.op.name for variable in tf.global_variables()]


def test_off_returns_the_same_tensor(graph):
  net = tf.zeros([1, 4, 4, 8])
  assert attend(net) is net
  assert not names()


@pytest.mark.parametrize(
  ('scope', 'expected'),
  [
    (None, 'probe_block/'),
    ('Mixed_5b_{tag}', 'Mixed_5b_PROBE/'),
    ('pool1_{name}', 'pool1_probe_block/'),
  ],
)
def test_scope(graph, scope, expected):
  attend(tf.zeros([1, 4, 4, 8]), module=Probe(), scope=scope)
  assert names() == [f'{expected}conv/weights', f'{expected}conv/biases']


@pytest.mark.parametrize(
  ('places', 'count'),
  [({BLOCK}, 2), ({STAGE}, 2), ({CLASS}, 1), ({STAGE, CLASS}, 3)],
)
def test_points(graph, places, count):
  """A point that ends both a block and a stage gets one module."""
  module, net = Probe(places=frozenset(places)), tf.zeros([1, 4, 4, 8])
  with slim.arg_scope([attend], module=module):
    for index, at in enumerate((BLOCK, STAGE, (BLOCK, STAGE), CLASS)):
      attend(net, scope=f'{index}_{{name}}', at=at)
  assert len(tf.get_collection(GATES)) == count


def test_later_blocks_are_those_after_the_first_stage(graph):
  module, net = Probe(places=frozenset({LATER})), tf.zeros([1, 4, 4, 8])
  with slim.arg_scope([attend], module=module, stages=Stages()):
    for index, at in enumerate((BLOCK, (BLOCK, STAGE), BLOCK, STAGE, BLOCK)):
      attend(net, scope=f'{index}_{{name}}', at=at)
  scopes = [gate.op.name.split('/')[0] for gate in tf.get_collection(GATES)]
  assert scopes == ['2_probe_block', '4_probe_block']


def test_before_the_classifier_attention_is_added(graph):
  def halving(net):
    return net / 2, ()

  halving.name = halving.tag = 'halving'
  halving.places = {CLASS}
  net = attend(tf.ones([1, 2, 2, 3]), module=halving, at=CLASS)
  with tf.Session(config=few_runs()) as session:
    assert (session.run(net) == 1.5).all()


def test_arg_scope_of_the_network_does_not_apply(graph):
  """No batch norm, no relu, SAME padding, no end point, L2 of attention."""
  tf.set_random_seed(0)
  with slim.arg_scope([slim.conv2d], **HOST):
    net = attend(
      tf.random_normal([1, 5, 5, 8]),
      module=Probe(),
      weights_regularizer=slim.l2_regularizer(1.0),
    )
    (gate,) = tf.get_collection(GATES)
    slim.conv2d(net, 2, 3, scope='after')
  assert not any('probe_block' in n and 'BatchNorm' in n for n in names())
  assert any(n.startswith('after/BatchNorm') for n in names())
  assert [t.op.name for t in tf.get_collection('end_points')] == ['after/Relu']
  weights = tf.global_variables()[0]
  decay = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)[0]
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    gate, weights, decay = session.run([gate, weights, decay])
  assert gate.shape == (1, 5, 5, 8)
  assert gate.min() < 0
  assert decay == pytest.approx((weights**2).sum() / 2, rel=1e-5)


@pytest.mark.parametrize('is_training', [True, False])
def test_batch_norm_settings_of_the_network_apply(graph, is_training):
  def normed(net):
    return slim.batch_norm(net, scope='norm'), ()

  normed.name = normed.tag = 'normed'
  normed.places = {BLOCK}
  with slim.arg_scope([slim.batch_norm], is_training=is_training, decay=0.5):
    attend(tf.zeros([2, 4, 4, 8]), module=normed)
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert len(updates) == (2 if is_training else 0)


@pytest.mark.parametrize(
  ('text', 'count'), [('se_block', 1), ('cbam_block', 2)]
)
def test_gates_are_collected(graph, text, count):
  """Channel gates are [N, 1, 1, C], spatial ones [N, H, W, 1], in (0, 1)."""
  # A gate of other random weights may round to 1.
  tf.set_random_seed(1)
  module = attention_factory.get_attention(text)
  attend(tf.random_normal([2, 3, 5, 8]), module=module)
  gates = tf.get_collection(GATES)
  shapes = [(2, 1, 1, 8), (2, 3, 5, 1)]
  assert [tuple(gate.shape) for gate in gates] == shapes[:count]
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for gate in session.run(gates):
      assert ((gate > 0) & (gate < 1)).all()


def test_a_new_module_needs_a_function_and_a_table_entry(graph, monkeypatch):
  def halving_block(net, *, share: int = 2):
    return net / share, (tf.constant(1 / share),)

  spec = AttentionModule('halving_block', 'HALF', halving_block, lambda _: None)
  monkeypatch.setattr(
    attention_factory,
    'ATTENTION_MODULES',
    Table('attention module', (spec,)),
  )
  module = attention_factory.get_attention('halving_block(share=4)')
  attended = attend(tf.ones([1, 2, 2, 3]), module=module)
  with tf.Session(config=few_runs()) as session:
    np.testing.assert_array_equal(
      session.run(attended), np.full((1, 2, 2, 3), 0.25)
    )
