"""Every structure and attention in every format, in fresh interpreters."""

import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from nets import nets_factory
from nets.attention.attention_factory import ATTENTION_MODULES
from tf_compat import few_runs, tf
from tools.export import network, onnx, proof, runtimes, saved_model, tflite

NAMES = tuple('abcde')
KINDS = [*ATTENTION_MODULES]
# One network of each family.
FAMILIES = (
  'lenet',
  'cifarnet',
  'airbench_cifar',
  'resnet_v1_18',
  'resnet_v2_50',
  'resnet_cifar_20',
  'wide_resnet_18_x1_5',
  'resnext_50_32x4d',
  'densenet_cifar_100_12',
  'alexnet_v2',
  'mobilenet_v1_025',
  'mobilenet_v2_035',
  'mobilenet_v3_small',
  'inception_v1',
  'inception_v2',
  'inception_v3',
  'inception_v4',
  'inception_resnet_v2',
  'nasnet_mobile',
  'pnasnet_mobile',
  'vgg_a',
  'overfeat',
)
# Each family with one attention module, in turn, before the classifier.
MODELS = [
  (name, KINDS[number % len(KINDS)], 'class')
  for number, name in enumerate(FAMILIES)
] + [('tiny', kind, None) for kind in KINDS]
GROUPS = 3
# In int8, LiteRT divides by quantized variances, which may be zero.
NOT_INT8_TFLITE = {'simam_block'}

# Runs models in a process without this project.
RUN = """
import json, pathlib, runpy, sys
import numpy as np
runtimes = runpy.run_path(sys.argv[1])
for kind, model, pixels, result in json.loads(sys.argv[2]):
  run, _ = runtimes['LOADERS'][kind](model)
  np.save(result, run(np.load(pixels)))
assert not {'tf_compat', 'nets', 'tf_slim'} & {*sys.modules}
"""


class Exported:
  """A network with random weights in a folder, in all formats."""

  def __init__(self, model, folder: pathlib.Path, quantize=None):
    self.name, self.attention, self.placement = model
    self.folder = folder
    folder.mkdir()
    spec = nets_factory.NETWORKS[self.name]
    side = spec.min_image_size
    shape = [None, side, side, spec.channels or 3]
    rng = np.random.default_rng(0)
    self.pixels = rng.uniform(0, 255, [3, *shape[1:]]).astype(np.float32)
    np.save(folder / 'pixels.npy', self.pixels)
    with tf.Graph().as_default(), tf.Session(config=few_runs()) as session:
      self.graph_def, self.expected = self._freeze(session, shape)
    setup = types.SimpleNamespace(
      image_size=side, channels=shape[3], class_names=NAMES,
      job=types.SimpleNamespace(
        preprocessing=spec.preprocessing, use_grayscale=False, fast_preprocessing=False
      ),
    )  # fmt: skip
    self.paths = {
      'saved_model': folder / '7',
      'tflite': folder / 'model.tflite',
      'onnx': folder / 'model.onnx',
    }
    saved_model.write(self.graph_def, setup, self.paths['saved_model'])
    tflite.write(self.graph_def, NAMES, self.paths['tflite'])
    onnx.write(self.graph_def, NAMES, self.paths['onnx'])

  def _freeze(self, session, shape):
    """Returns the frozen graph, and the probabilities before."""
    tf.set_random_seed(0)
    images = tf.placeholder(tf.float32, shape, network.IMAGES)
    logits, _ = nets_factory.get_network_fn(
      self.name, len(NAMES), attention_module=self.attention,
      attention_placement=self.placement,
    )(images)  # fmt: skip
    session.run(tf.global_variables_initializer())
    _randomize(session)
    values = self._finish(tf.constant(self.pixels))
    values = session.run(values)
    # Otherwise all probabilities are 0 and 1, or alike.
    gain = 1 / session.run(logits, {images: values}).std()
    tf.nn.softmax(logits * gain, name=network.PROBABILITIES)
    output = f'{network.PROBABILITIES}:0'
    expected = session.run(output, {images: values})
    return network.freeze(session, self._finish), expected

  def _finish(self, pixels):
    return pixels / 128 - 1

  def requests(self):
    """Returns what RUN shall run."""
    return [
      (kind, str(path), str(self.folder / 'pixels.npy'),
       str(self.folder / f'{kind}.npy'))
      for kind, path in self.paths.items()
    ]  # fmt: skip


def _randomize(session):
  """Gives batch norm other statistics and factors than 0 and 1."""
  rng = np.random.default_rng(0)
  for variable in tf.global_variables():
    name, shape = variable.op.name, variable.shape.as_list()
    if name.endswith(('moving_variance', 'gamma')):
      value = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(('moving_mean', 'beta', 'biases')):
      value = rng.normal(0, 0.1, shape)
    else:
      continue
    variable.load(value.astype(np.float32), session)


def run_all(requests):
  """Runs models in one fresh interpreter."""
  subprocess.run(
    [sys.executable, '-I', '-c', RUN, runtimes.__file__, json.dumps(requests)],
    check=True,
    env=proof._environment(),
  )


def test_no_family_is_missing():
  def family(name):
    build = nets_factory.NETWORKS[name].build
    return getattr(build, 'func', build).__module__

  families = {family(name) for name in nets_factory.NETWORKS}
  assert {family(name) for name in FAMILIES} == families


@pytest.mark.slow
@pytest.mark.parametrize('group', range(GROUPS))
def test_all_formats_agree_with_the_network(group, short_networks, tmp_path):
  models = [
    Exported(model, tmp_path / str(number))
    for number, model in enumerate(MODELS[group::GROUPS])
  ]
  run_all([request for model in models for request in model.requests()])
  for model in models:
    assert not [n for n in model.graph_def.node if 'BatchNorm' in n.op]
    assert model.expected.std() > 0.02
    for kind in model.paths:
      got = np.load(model.folder / f'{kind}.npy')
      np.testing.assert_allclose(
        got, model.expected, atol=1e-5, err_msg=f'{model.name} {kind}'
      )


@pytest.mark.slow
def test_int8_of_every_attention(short_networks, tmp_path):
  models = []
  for kind in sorted(KINDS):
    model = Exported(('tiny', kind, None), tmp_path / kind)
    paths = {name: model.folder / f'8.{name}' for name in ('tflite', 'onnx')}
    onnx.write_int8(model.paths['onnx'], NAMES, paths['onnx'], [model.pixels])
    if kind in NOT_INT8_TFLITE:
      del paths['tflite']
    else:
      tflite.write(
        model.graph_def, NAMES, paths['tflite'], 'int8', [model.pixels]
      )
    model.paths = paths
    models.append(model)
  run_all([request for model in models for request in model.requests()])
  for model in models:
    for kind in model.paths:
      got = np.load(model.folder / f'{kind}.npy')
      # ONNX Runtime's products saturate on processors without VNNI.
      atol = 0.15 if kind == 'onnx' else 0.1
      np.testing.assert_allclose(
        got, model.expected, atol=atol, err_msg=f'{model.attention} {kind}'
      )
