"""Weights of PyTorch's networks compute what PyTorch computes with them."""

import numpy as np
import pytest
from foreign import FOREIGN, PYTORCH, images, weights_of

from weights import architectures, proof, translation
from weights.architectures import ARCHITECTURES
from weights.convert import Converted

# Agreement of float32 computed in another order.
TOLERANCE = 1e-4
# Weights that amplify rounding: changing each by 1e-7 of itself changes the logits
# by 1e-3 to 1e-2 of the largest. Errors depend on the processor, up to 7e-3 so far;
# PyTorch's own logits in float32 differ by as much from those in float64. With
# those in PYTORCH, the same networks agree to TOLERANCE.
EXCEPTIONS = {
  'timm:tf_mobilenetv3_large_100': 1e-2,
  'timm:seresnet50': 2e-2,
  'timm:legacy_seresnet50': 1e-2,
}
QUICK = (
  'timm:mobilenetv2_035',
  'timm:tf_mobilenetv3_small_minimal_100',
  'torchvision:mobilenet_v3_small',
)


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
  for tolerances, golden in ((EXCEPTIONS, FOREIGN), ({}, PYTORCH)):
    for name, entry in golden.items():
      if 'logits' in entry:
        slow = () if name in QUICK else pytest.mark.slow
        tolerance = tolerances.get(name, TOLERANCE)
        yield pytest.param(name, entry, tolerance, marks=slow, id=name)


@pytest.mark.parametrize(('name', 'entry', 'tolerance'), list(cases()))
def test_logits_are_those_of_pytorch(name, entry, tolerance):
  architecture = ARCHITECTURES[name]
  network = translation.describe(
    architecture.network,
    num_classes=10,
    attention=architecture.attention,
    padding=architecture.padding,
  )
  weights = weights_of(name, entry)
  values = translation.translate(weights, architecture, network)
  got = logits(architecture, values, entry['image_size'])
  expected = np.array(entry['logits'])
  error = np.abs(got - expected).max() / np.abs(expected).max()
  assert error < tolerance


def test_the_logits_of_each_architecture_are_tested():
  tested = {name for name, *_ in (case.values for case in cases())}
  assert tested == {entry.name for entry in architectures.PYTORCH}


@pytest.mark.parametrize('name', FOREIGN | PYTORCH)
def test_table_knows_each_architecture_by_its_size(name):
  architecture = ARCHITECTURES[name]
  content = weights_shapes((FOREIGN | PYTORCH)[name])
  without = content.pop(architecture.classifier)
  assert sum(content.values()) == architecture.size
  assert without


def weights_shapes(entry) -> dict[str, int]:
  """Returns the number of values of each module."""
  sizes: dict[str, int] = {}
  for key, shape in entry['keys']:
    if not key.endswith('num_batches_tracked'):
      module = key.rpartition('.')[0]
      sizes[module] = sizes.get(module, 0) + int(np.prod(shape))
  return sizes
