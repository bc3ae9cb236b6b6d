"""Architectures that have the same arrays are told apart, or named."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from foreign import FOREIGN, tensors_of

from errors import UserError
from weights import convert, modules, recognition, tensor_files
from weights.modules import Weights

TF = 'timm:tf_mobilenetv3_small_100'
PYTORCH = 'timm:mobilenetv3_small_100'


def zeros_of(name: str, source: str) -> Weights:
  """Returns weights of an architecture, all of them 0."""
  content, names = modules.from_pytorch(
    {key: np.zeros(shape, np.float32) for key, shape in FOREIGN[name]['keys']}
  )
  return Weights(source, 'pytorch', content, names)


@pytest.mark.parametrize(
  ('source', 'facts', 'declared', 'expected', 'is_doubtful'),
  [
    ('model.pth', {}, None, TF, True),
    ('tf_mobilenetv3_small_100-1f.pth', {}, None, TF, False),
    ('mobilenetv3_small_100_lamb-2e.pth', {}, None, PYTORCH, False),
    ('a.pth', {'architecture': PYTORCH[5:]}, None, PYTORCH, False),
    ('model.pth', {}, PYTORCH[5:], PYTORCH, False),
    ('mobilenetv3_small_100.pth', {}, TF[5:], TF, False),
  ],
)
def test_a_name_tells_networks_of_the_same_arrays_apart(
  source, facts, declared, expected, is_doubtful
):
  weights = dataclasses.replace(zeros_of(TF, source), facts=facts)
  first, *_ = recognition.candidates(weights, None, declared)
  assert first.name == expected
  doubt = recognition.doubt(weights, first, declared)
  assert bool(doubt) == is_doubtful
  if doubt:
    assert doubt.endswith('rename it to mobilenetv3_small_100.pth.')


def test_a_network_that_only_looks_like_another_is_refused():
  weights = zeros_of('timm:resnet18', 'resnetblur18-8a.pth')
  with pytest.raises(UserError, match='arrays of resnet18 but computes someth'):
    recognition.candidates(weights, None, None)
  weights = zeros_of('timm:resnet18', 'my_resnet18.pth')
  first, *_ = recognition.candidates(weights, None, None)
  assert first.name == 'timm:resnet18'


@pytest.fixture(scope='module')
def tensors() -> dict[str, np.ndarray]:
  return tensors_of(FOREIGN['timm:mobilenetv2_035'])


@pytest.mark.parametrize(
  ('architecture', 'message'),
  [
    ('resnetaa50', "of timm's resnetaa50 by the config.json .* move config"),
    (
      'resnet18',
      r'does not fit resnet_v1b_18.*\(timm:resnet18\): conv1.weight',
    ),
    ('mobilenetv2_035', None),
  ],
)
def test_the_network_that_config_json_names_is_the_only_one(
  architecture, message, tensors, tmp_path
):
  path = tmp_path / 'model.safetensors'
  safetensors.numpy.save_file(tensors, path)
  config = {'architecture': architecture, 'pretrained_cfg': {}}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  if message is None:
    assert convert.convert(str(path)).network == 'mobilenet_v2_035'
  else:
    with pytest.raises(UserError, match=message):
      convert.convert(str(path))


def test_the_nearest_network_has_the_fewest_differences(tensors, tmp_path):
  """Not the nearest size, which a single array changes."""
  path = tmp_path / 'model.safetensors'
  more = {'projector.weight': np.zeros((500, 1000), np.float32)}
  safetensors.numpy.save_file(tensors | more, path)
  with pytest.raises(
    UserError,
    match=r'\(timm:mobilenetv2_035\): projector.weight is left over.$',
  ):
    convert.convert(str(path))


def test_weights_that_fit_nothing_are_compared_with_the_network_asked_for(
  tensors, tmp_path
):
  path = tmp_path / 'model.safetensors'
  more = {'projector.weight': np.zeros((2, 3), np.float32)}
  safetensors.numpy.save_file(tensors | more, path)
  with pytest.raises(UserError, match=r'not fit mobilenet_v2, .*and \d+ more'):
    convert.convert(str(path), 'mobilenet_v2')
  with pytest.raises(UserError, match=r'fit mobilenet_v2_035, .* is left over'):
    convert.convert(str(path), 'lenet')


def test_integers_are_no_weights(tensors, tmp_path):
  path = tmp_path / 'model.safetensors'
  name = 'classifier.weight'
  safetensors.numpy.save_file(
    tensors | {name: tensors[name].astype(np.int8)}, path
  )
  with pytest.raises(UserError, match=r'classifier\.weight is of int8'):
    convert.convert(str(path))


def test_published_densenets_are_read_under_their_old_names():
  entry = FOREIGN['timm:densenet121']
  name = 'features.denseblock1.denselayer1.norm1.weight'
  assert name in dict(entry['keys'])
  pattern = tensor_files._OLD_DENSENET
  old = 'features.denseblock1.denselayer1.norm.1.weight'
  assert pattern.sub(r'\1', old) == name
  assert all(pattern.sub(r'\1', key) == key for key, _ in entry['keys'])
