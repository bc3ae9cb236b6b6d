"""Weights of PyTorch's networks compute what PyTorch computes with them."""

import numpy as np
import pytest
from foreign import FOREIGN, images, weights_of

from weights import proof, translation
from weights.architectures import ARCHITECTURES
from weights.convert import Converted

# Agreement of float32 computed in another order.
TOLERANCE = 1e-4
# Weights that amplify rounding: changing each by 1e-7 of itself changes the logits
# by 1e-3 to 1e-2 of the largest. Errors depend on the processor, up to 4e-3 so far.
EXCEPTIONS = {
  'timm:tf_mobilenetv3_large_100': 1e-2,
  'timm:seresnet50': 1e-2,
  'timm:legacy_seresnet50': 1e-2,
}
QUICK = 'timm:mobilenetv2_035', 'timm:tf_mobilenetv3_small_minimal_100'


def logits(architecture, values, size: int) -> np.ndarray:
  """Computes our network's logits with these values of its variables."""
  converted = Converted(
    source=architecture.name,
    origin=architecture.name,
    network=architecture.network,
    num_classes=10,
    image_size=size,
    preprocessing='',
    values=values,
    attention=architecture.attention,
    padding=architecture.padding,
  )
  return proof.logits(converted, images(size))


def cases():
  for name, entry in FOREIGN.items():
    slow = () if name in QUICK else pytest.mark.slow
    if 'logits' in entry:
      yield pytest.param(name, marks=slow)


@pytest.mark.parametrize('name', list(cases()))
def test_logits_are_those_of_pytorch(name):
  entry, architecture = FOREIGN[name], ARCHITECTURES[name]
  network = translation.describe(architecture, num_classes=10)
  values = translation.translate(weights_of(name), architecture, network)
  got = logits(architecture, values, entry['image_size'])
  expected = np.array(entry['logits'])
  error = np.abs(got - expected).max() / np.abs(expected).max()
  assert error < EXCEPTIONS.get(name, TOLERANCE)


@pytest.mark.parametrize(
  'name', [name for name, entry in FOREIGN.items() if 'logits' not in entry]
)
@pytest.mark.slow
def test_weights_fit_both_ways(name):
  """All arrays are used, and all variables have a value."""
  architecture = ARCHITECTURES[name]
  network = translation.describe(architecture, num_classes=10)
  values = translation.translate(weights_of(name), architecture, network)
  assert {*values} == {variable.name for variable in network.variables}


@pytest.mark.parametrize('name', FOREIGN)
def test_table_knows_each_architecture_by_its_size(name):
  architecture = ARCHITECTURES[name]
  content = weights_shapes(name)
  without = content.pop(architecture.classifier)
  assert sum(content.values()) == architecture.size
  assert without


def weights_shapes(name: str) -> dict[str, int]:
  """Returns the number of values of each module."""
  sizes: dict[str, int] = {}
  for key, shape in FOREIGN[name]['keys']:
    if not key.endswith('num_batches_tracked'):
      module = key.rpartition('.')[0]
      sizes[module] = sizes.get(module, 0) + int(np.prod(shape))
  return sizes
