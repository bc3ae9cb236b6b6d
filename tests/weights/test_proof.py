"""Logits are compared where the other project can compute them."""

import subprocess

import numpy as np
import pytest

from errors import UserError
from weights import convert, proof, reference
from weights.architectures import ARCHITECTURES
from weights.convert import Converted
from weights.modules import Weights

KERNEL = np.ones((1, 1), np.float32)


@pytest.fixture
def converted() -> Converted:
  return Converted(
    source='model.h5',
    origin='keras:VGG16',
    network='vgg_16',
    num_classes=2,
    image_size=4,
    preprocessing='vgg',
    values={},
    architecture=ARCHITECTURES['keras:VGG16'],
    weights=Weights('model.h5', 'keras', {'fc1': {'kernel': KERNEL}}),
  )


@pytest.mark.parametrize(
  ('error', 'reason'),
  [
    (subprocess.TimeoutExpired('python', 900), 'timed out after 900 seconds'),
    (
      subprocess.CalledProcessError(1, 'python', stderr='Trace\nNo keras\n'),
      'No keras',
    ),
    (subprocess.CalledProcessError(-9, 'python', stderr=''), 'SIGKILL'),
  ],
)
def test_logits_that_cannot_be_computed_are_not_compared(
  error, reason, converted, monkeypatch
):
  def run(*args, **kwargs):
    raise error

  warnings: list[str] = []
  monkeypatch.setattr(subprocess, 'run', run)
  monkeypatch.setattr(
    proof.logging, 'warning', lambda text, *args: warnings.append(text % args)
  )
  assert proof.difference(converted) is None
  assert len(warnings) == 1
  assert reason in warnings[0]


@pytest.mark.parametrize(
  ('ours', 'rounded', 'expected'),
  [
    ([1, 3], [1, 3], None),
    ([1, np.nan], [1, 3], None),
    ([1, 2.0001], [1, 2.0001], 5e-5),
    ([1, 2.001], [1, 2.001], None),
    # The weights amplify rounding errors.
    ([1, 2.001], [1, 2.0011], 5e-4),
  ],
)
def test_other_logits_are_refused(
  ours, rounded, expected, converted, monkeypatch
):
  theirs = np.array([[1.0, 2.0]])
  monkeypatch.setattr(proof, '_reference_logits', lambda *_: theirs)
  monkeypatch.setattr(proof, 'logits', lambda *_: np.array([ours, rounded]))
  if expected is None:
    with pytest.raises(UserError, match='but it computes something else'):
      proof.difference(converted)
  else:
    assert proof.difference(converted) == pytest.approx(expected)


@pytest.mark.parametrize(
  ('installed', 'project', 'package'),
  [
    ({'timm', 'torchvision'}, 'timm', 'timm'),
    ({'torchvision'}, 'timm', 'torchvision'),
    ({'timm'}, 'torchvision', None),
    ({'keras'}, 'keras', 'keras'),
    ({'keras', 'timm'}, 'official', None),
  ],
)
def test_an_installed_package_computes_the_logits(
  installed, project, package, monkeypatch
):
  monkeypatch.setattr(
    proof.importlib.util, 'find_spec', lambda name: name in installed or None
  )
  assert proof._package(project) == package


@pytest.mark.slow
@pytest.mark.parametrize(
  ('package', 'name'),
  [
    ('timm', 'timm:mobilenetv2_035'),
    ('timm', 'timm:mobilenetv3_small_100'),
    ('torchvision', 'timm:resnet18'),
    ('torchvision', 'timm:inception_v3'),
    ('torchvision', 'torchvision:mobilenet_v3_small'),
  ],
)
def test_logits_of_a_file_are_those_of_its_package(
  package, name, tmp_path, monkeypatch
):
  """Where the packages are installed; the project itself does not need them."""
  torch = pytest.importorskip('torch')
  pytest.importorskip(package)
  network = name.partition(':')[2]
  model = reference.pytorch_model(package, network, 10)
  path = tmp_path / f'{network}.pth'
  torch.save(model.state_dict(), path)
  monkeypatch.setattr(proof, '_package', lambda _: package)
  assert proof.difference(convert.convert(str(path))) < proof.TOLERANCE
