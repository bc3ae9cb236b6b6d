"""Arrays of a layer and its norm become variables that compute the same."""

import numpy as np
import pytest

from errors import UserError
from weights import layer_names, modules, translation
from weights.architectures import Architecture
from weights.modules import Weights
from weights.translation import Network, Variable

OURS, THEIRS = 1e-3, 1e-5
ARCHITECTURE = Architecture(
  'timm:tiny',
  'tiny',
  layer_names.by_rules({'conv': 'conv', 'conv/BatchNorm': 'bn'}),
  classifier='fc',
  size=0,
  preprocessing='imagenet',
  epsilon=THEIRS,
)


def network(has_gamma: bool) -> Network:
  leaves = {'conv': ('weights',), 'conv/BatchNorm': modules.NORM}
  return Network(
    [
      Variable(
        f'net/{scope}/{leaf}',
        'net/',
        scope,
        leaf,
        (1, 1, 3, 2) if leaf == 'weights' else (2,),
      )
      for scope, names in leaves.items()
      for leaf in names
      if has_gamma or leaf != 'gamma'
    ],
    {},
    {'conv/BatchNorm': OURS},
  )


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  result = {
    f'bn.{kind}': rng.uniform(0.5, 2, 2).astype(np.float32)
    for kind in ('weight', 'bias', 'running_mean', 'running_var')
  }
  result['conv.weight'] = rng.normal(size=(2, 3, 1, 1)).astype(np.float32)
  result['conv.bias'] = rng.normal(size=2).astype(np.float32)
  return result


def translate(tensors, has_gamma: bool = True) -> dict[str, np.ndarray]:
  content, names = modules.from_pytorch(tensors)
  weights = Weights('file', 'pytorch', content, names)
  return translation.translate(weights, ARCHITECTURE, network(has_gamma))


@pytest.mark.parametrize('has_gamma', [True, False])
def test_a_norm_computes_the_same_with_another_epsilon(has_gamma, tensors):
  pixel = np.array([0.3, -1.2, 0.7], np.float32)
  net = tensors['conv.weight'][:, :, 0, 0] @ pixel + tensors['conv.bias']
  net = (net - tensors['bn.running_mean']) / np.sqrt(
    tensors['bn.running_var'] + THEIRS
  )
  expected = net * tensors['bn.weight'] + tensors['bn.bias']
  values = translate(tensors, has_gamma)
  norm = {
    kind: values.get(f'net/conv/BatchNorm/{kind}') for kind in modules.NORM
  }
  assert (norm['gamma'] is not None) == has_gamma
  net = pixel @ values['net/conv/weights'][0, 0] - norm['moving_mean']
  net = net / np.sqrt(norm['moving_variance'] + OURS)
  gamma = 1 if norm['gamma'] is None else norm['gamma']
  np.testing.assert_allclose(net * gamma + norm['beta'], expected, rtol=1e-5)


@pytest.mark.parametrize('has_gamma', [True, False])
@pytest.mark.parametrize(
  'name', ['bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var']
)
def test_each_array_of_a_norm_must_fit(name, has_gamma, tensors):
  """Broadcasting would hide an array of another shape."""
  shorter = {n: v[:1] if n == name else v for n, v in tensors.items()}
  with pytest.raises(UserError, match=rf'\): {name} is \[1\], not \[2\]\.'):
    translate(shorter, has_gamma)


@pytest.mark.parametrize('name', ['bn.weight', 'bn.bias', 'bn.running_var'])
def test_a_norm_has_the_arrays_of_the_other_norms(name, tensors):
  other = {n.replace('bn', 'bn2'): v for n, v in tensors.items() if 'bn' in n}
  lacking = {n: v for n, v in tensors.items() if n != name} | other
  with pytest.raises(UserError, match=rf'\): {name} is missing;'):
    translate(lacking)


def test_a_bias_before_a_norm_must_fit(tensors):
  tensors['conv.bias'] = tensors['conv.bias'][:1]
  with pytest.raises(UserError, match=r'\): conv\.bias is \[1\], not \[2\]\.'):
    translate(tensors)
