"""Properties of every network of the table, without and with attention."""

import importlib
import pathlib
import re
import zlib

import numpy as np
import pytest
from network_lists import DEEP_WITH_ATTENTION, STRUCTURES

import nets
from nets import features, nets_factory
from nets.attention.attend import (
  BLOCK,
  CLASS,
  CONV,
  GATES,
  INNER,
  LATER,
  STAGE,
)
from nets.attention.attention_factory import ATTENTION_MODULES
from nets.nets_factory import NETWORKS
from tf_compat import few_runs, slim, tf

LOGITS = [
  f'{network}+{attention}'
  for network in ('lenet', 'cifarnet', 'resnet_v1_50', 'resnet_v2_50')
  for attention in ('none', 'se_block', 'cbam_block')
  if attention == 'none' or network.startswith('resnet')
] + ['mobilenet_v1_025+none', 'mobilenet_v3_small_minimalistic+none']
# With these weights the gates amplify rounding: in float64 the logits differ from
# the original's float32 ones by 3e-4 to 1e-3, and so do those of some processors.
AMPLIFIES_ROUNDING = (
  'resnet_v1_50+se_block',
  'resnet_v2_50+se_block',
  'inception_v4+cbam_block',
)
LONG_LOGITS = [
  'alexnet_v2+none',
  'vgg_16+none',
  'inception_v1+none',
  'inception_v4+none',
  'inception_v4+cbam_block',
  'inception_resnet_v2+se_block',
  'mobilenet_v2+none',
  'mobilenet_v3_large+none',
  'nasnet_cifar+none',
  'nasnet_mobile+none',
]
# Without attention, with SE and with CBAM of ratio 16; 1000 classes.
PARAMETERS = {
  'resnet_v1_50': (25_557_032, 28_088_024, 28_089_592),
  'resnet_v1b_50': (25_557_032, 28_088_024, 28_089_592),
  'mobilenet_v1': (4_231_976, 5_072_114, 5_074_662),
  'resnet_v1_18': (11_689_512, 11_778_592, 11_779_376),
  'wide_resnet_18_x1_5': (25_875_816, 26_074_716, 26_075_500),
  'resnext_50_32x4d': (25_028_904, 27_559_896, 27_561_464),
}
# Without attention; 10 classes.
CIFAR_PARAMETERS = {
  'resnet_cifar_18': 11_173_962,
  'resnet_cifar_34': 21_282_122,
  'resnet_cifar_50': 23_520_842,
  'resnet_cifar_101': 42_512_970,
  'resnet_cifar_152': 58_156_618,
  'resnet_cifar_20': 269_722,
  'resnet_cifar_32': 464_154,
  'resnet_cifar_44': 658_586,
  'resnet_cifar_56': 853_018,
  'resnet_cifar_110': 1_727_962,
  'wide_resnet_28_10': 36_479_194,
}


def contract_weights(name: str, shape: list, gain: float) -> np.ndarray:
  """Returns the contract's value of a variable, derived from its name."""
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  z = rng.standard_normal(shape).astype(np.float32)
  part = name.split('/')[-1]
  if part == 'moving_variance':
    return 0.5 + 0.5 * abs(z)
  if part == 'gamma':
    return 1 + 0.1 * z
  if part in ('beta', 'biases', 'bias', 'moving_mean'):
    return 0.1 * z
  inward = shape[:2] if part == 'depthwise_weights' else shape[:-1]
  fan_in = max(1, int(np.prod(inward)))
  return z * np.float32(gain * np.sqrt(2 / fan_in))


def contract_images(side: int) -> np.ndarray:
  """Returns the contract's two images of 7 x 7 colored squares."""
  squares = np.random.default_rng(zlib.crc32(b'images')).uniform(
    -1, 1, (2, 7, 7, 3)
  )
  tile = -(-side // 7)
  images = np.kron(squares, np.ones((1, tile, tile, 1)))
  return images[:, :side, :side].astype(np.float32)


def attention_variables(variables: set, attention: str) -> set:
  """Returns the variables that belong to attention."""
  kind = ATTENTION_MODULES[attention]
  inside = re.compile(rf'(^|[/_])({kind.name}|{kind.tag})/')
  return {variable for variable in variables if inside.search(variable[0])}


def test_no_network_escapes():
  """Every spec of every family is in the table."""
  names = set()
  for path in pathlib.Path(nets.__file__).parent.glob('*.py'):
    module = importlib.import_module(f'nets.{path.stem}')
    if module is not nets_factory:
      names |= {spec.name for spec in getattr(module, 'NETWORKS', ())}
  assert names == set(NETWORKS)


def test_no_file_of_networks_escapes_training():
  for path in pathlib.Path(nets.__file__).parent.glob('*.py'):
    module = importlib.import_module(f'nets.{path.stem}')
    specs = getattr(module, 'NETWORKS', ())
    if specs and module is not nets_factory:
      assert {spec.name for spec in specs} & {*STRUCTURES}, path


def test_no_network_escapes_the_contract(
  contract_variables, contract_logits, keys
):
  inside = {key.split('+')[0] for key in contract_variables}
  assert set(NETWORKS) <= inside
  tested = {key for key in contract_variables if key.split('+')[0] in NETWORKS}
  assert tested <= {*keys, *DEEP_WITH_ATTENTION}
  tested = {key for key in contract_logits if key.split('+')[0] in NETWORKS}
  assert tested == {*LOGITS, *LONG_LOGITS}


def test_variables(key, inference, contract_variables):
  """Names, shapes, trainability are the contract's, or plain plus attention."""
  name, attention = key.split('+')
  variables = inference.variables
  if key not in contract_variables:
    added = attention_variables(variables, attention)
    assert added
    variables -= added
  expected = contract_variables.get(key, contract_variables[f'{name}+none'])
  assert variables == {
    (name, tuple(shape), trainable)
    for name, shape, trainable in expected['variables']
  }
  assert inference.network.image_size == expected['image_size']


def test_end_points(key, inference, contract_variables):
  name = key.split('+')[0]
  shapes = {k: list(v.shape) for k, v in inference.end_points.items()}
  expected = contract_variables.get(key, contract_variables[f'{name}+none'])
  assert shapes == expected['end_points']
  assert list(inference.logits.shape) == [2, 10]


def test_features_are_what_the_classifier_takes(key, inference):
  with inference.graph.as_default():
    count, depth = features.of_logits(inference.logits).shape.as_list()
  assert count == 2
  kernels = {
    name
    for name, shape, _ in inference.variables
    if shape[-2:] == (depth, 10) and 'Aux' not in name
  }
  assert len(kernels) == 1, key


@pytest.mark.parametrize(
  'key',
  [
    *LOGITS,
    *(pytest.param(key, marks=pytest.mark.slow) for key in LONG_LOGITS),
  ],
  indirect=True,
)
def test_logits(key, inference, contract_logits):
  """Compares with the original network, relative to the largest logit."""
  expected = contract_logits[key]
  with inference.graph.as_default(), tf.Session(config=few_runs()) as session:
    variables = tf.global_variables()
    # An initializer assigns its second input; feeding that input sets the
    # variable without another operation in the graph.
    session.run(
      [v.initializer for v in variables],
      {
        v.initializer.inputs[1]: contract_weights(
          v.op.name, v.shape.as_list(), expected['gain']
        )
        for v in variables
      },
    )
    images = contract_images(expected['image_size'])
    logits = session.run(inference.logits, {inference.images: images})
  expected = np.array(expected['logits'])
  difference = np.abs(logits - expected).max() / np.abs(expected).max()
  assert difference <= (2e-3 if key in AMPLIFIES_ROUNDING else 1e-4)


@pytest.mark.slow
def test_training_makes_the_same_variables(
  trained_key, short_inference, training, contract_variables
):
  """And those that the contract says are of training alone."""
  there, here = short_inference.variables, training.variables
  assert there <= here
  plain = contract_variables.get(f'{trained_key.split("+")[0]}+none', {})
  # The auxiliary head is named after its cell; test_nasnet.py compares that.
  extra, expected = (
    {(re.sub(r'^aux_\d+', 'aux', name), flag) for name, _, flag in variables}
    for variables in (here - there, plain.get('training_only', ()))
  )
  assert extra == expected
  assert ('AuxLogits' in training.end_points) == training.network.aux_logits


@pytest.mark.slow
def test_every_variable_is_a_slim_model_variable(training):
  with training.graph.as_default():
    # Drop path depends on the global step, which is not a weight.
    global_step = tf.get_collection(tf.GraphKeys.GLOBAL_STEP)
    variables = slim.get_model_variables() + global_step
    assert {v.op.name for v in variables} == {
      n for n, _, _ in training.variables
    }
    assert not any(v.trainable for v in global_step)


@pytest.mark.slow
def test_every_trainable_variable_gets_a_gradient(training):
  with training.graph.as_default():
    names = [v.op.name for v in tf.trainable_variables()]
  missing = [
    name
    for name, gradient in zip(names, training.gradients, strict=True)
    if gradient is None
  ]
  assert not missing


@pytest.mark.slow
def test_two_steps_have_finite_loss(trained):
  assert np.isfinite(trained.losses).all()
  assert trained.finite


@pytest.mark.slow
def test_save_and_restore(trained, short_inference):
  """A new graph restores the checkpoint of training bit for bit."""
  with (
    short_inference.graph.as_default(),
    tf.Session(config=few_runs()) as session,
  ):
    variables = tf.global_variables()
    tf.train.Saver(variables).restore(session, trained.checkpoint)
    restored = session.run({v.op.name: v for v in variables})
  assert restored
  for name, value in restored.items():
    assert zlib.crc32(value.tobytes()) == trained.checksums[name], name


@pytest.mark.slow
def test_batch_norm_updates_are_in_update_ops(training):
  """There is one update for each moving mean and moving variance."""
  with training.graph.as_default():
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  moving = [n for n, _, _ in training.variables if '/moving_' in n]
  assert len(updates) == len(moving)


def test_attention_points(inference):
  """The spec has the number of gated points."""
  gates = inference.graph.get_collection(GATES)
  if inference.attention == 'none':
    assert not gates
    return
  kind = ATTENTION_MODULES[inference.attention]
  scope = re.compile(rf'.*?(^|[/_])({kind.name}|{kind.tag})(?=/)')
  scopes = {scope.match(gate.op.name)[0] for gate in gates}
  assert len(scopes) == inference.network.attention_points


def test_number_of_points_is_that_of_the_spec(inference):
  if inference.attention == 'none':
    return
  network, points = inference.network, inference.points
  assert points.count(BLOCK) == network.attention_points
  assert points.count(STAGE) == network.stage_points
  assert points.count(CLASS) == 1
  assert points.count(INNER) == network.inner_points
  assert points.count(CONV) == network.conv_points
  assert 0 < points.count(LATER) < points.count(BLOCK)
  assert {*points} <= {BLOCK, STAGE, CLASS, LATER, INNER, CONV}


def test_no_batch_norm_inside_a_gate(inference):
  if inference.attention == 'none':
    return
  added = attention_variables(inference.variables, inference.attention)
  assert {name.split('/')[-1] for name, _, _ in added} == {'kernel', 'bias'}


@pytest.mark.slow
def test_weight_decay_reaches_every_kernel_of_attention(training):
  if training.attention == 'none':
    return
  added = attention_variables(training.variables, training.attention)
  kernels = {name for name, _, _ in added if name.endswith('/kernel')}
  biases = {name for name, _, _ in added} - kernels
  losses = training.graph.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  decayed = {loss.op.name.split('/Regularizer/')[0] for loss in losses}
  assert kernels <= decayed
  assert not biases & decayed


@pytest.mark.parametrize('column', [0, 1, 2], ids=['none', 'se', 'cbam'])
@pytest.mark.parametrize(
  'name',
  [
    name
    if name in ('resnet_v1_18', 'resnet_v1_50')
    else pytest.param(name, marks=slow)
    for slow in [pytest.mark.slow]
    for name in PARAMETERS
  ],
)
def test_parameter_count(graph, name, column):
  attention = ('none', 'se_block(ratio=16)', 'cbam_block(ratio=16)')[column]
  fn = nets_factory.get_network_fn(name, 1000, attention_module=attention)
  fn(tf.zeros([1, 32, 32, 3]))
  count = sum(v.shape.num_elements() for v in tf.trainable_variables())
  assert count == PARAMETERS[name][column]


@pytest.mark.parametrize(
  'key',
  [
    pytest.param(
      f'{name}+none',
      marks=() if name == 'resnet_cifar_20' else pytest.mark.slow,
    )
    for name in CIFAR_PARAMETERS
  ],
  indirect=True,
)
def test_cifar_parameter_count(key, inference):
  shapes = [shape for _, shape, trains in inference.variables if trains]
  count = sum(int(np.prod(shape)) for shape in shapes)
  assert count == CIFAR_PARAMETERS[inference.network.name]
