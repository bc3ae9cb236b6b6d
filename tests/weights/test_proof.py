"""Logits are compared where the other project can compute them."""

import subprocess

import numpy as np
import pytest

from errors import UserError
from weights import proof
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


@pytest.mark.parametrize('ours', [[[1, 3]], [[1, np.nan]]])
def test_other_logits_are_refused(ours, converted, monkeypatch):
  theirs = np.array([[1.0, 2.0]])
  monkeypatch.setattr(proof, '_reference_logits', lambda *_: theirs)
  monkeypatch.setattr(proof, 'logits', lambda *_: np.array(ours, float))
  with pytest.raises(UserError, match='but it computes something else'):
    proof.difference(converted)
  monkeypatch.setattr(proof, 'logits', lambda *_: np.array([[1, 2.0001]]))
  assert proof.difference(converted) == pytest.approx(5e-5)
