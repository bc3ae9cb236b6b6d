"""Weights of Keras' networks compute what Keras computes with them."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from weights import convert, proof
from weights.architectures import KERAS

CLASSES = 7
TOLERANCE = 1e-4
# Odd sizes where Keras pads as TensorFlow does.
SIZES = {'Inception': 107, 'NASNet': 107, 'VGG': 224}
QUICK = 'keras:MobileNetV2_035'


@pytest.fixture(scope='session')
def keras_process():
  """Returns a function that saves weights of a network and returns logits."""
  environment = {
    **os.environ, 'TF_USE_LEGACY_KERAS': '0', 'KERAS_BACKEND': 'tensorflow',
    'TF_CPP_MIN_LOG_LEVEL': '3',
  }  # fmt: skip
  script = pathlib.Path(__file__).with_name('keras_process.py')
  with subprocess.Popen(
    [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL, env=environment, text=True,
  ) as process:  # fmt: skip

    def compute(name, path, size, gain=1.0):
      line = f'{name.partition(":")[2]} {CLASSES} {size} {gain} {path}\n'
      process.stdin.write(line)
      process.stdin.flush()
      while (answer := process.stdout.readline().strip()) != 'done':
        assert answer or process.poll() is None, 'Keras failed'
      with np.load(f'{path}.npz') as content:
        return content['images'], content['logits']

    yield compute


def size_of(name: str) -> int:
  return next((size for kind, size in SIZES.items() if kind in name), 96)


def disagreement(path, images, expected) -> float:
  """Returns the largest difference of a logit, relative to the largest."""
  converted = convert.convert(str(path))
  if converted.architecture.bgr:
    images = images[..., ::-1]
  got = proof.logits(converted, images)
  return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize('name', [entry.name for entry in KERAS])
def test_logits_are_those_of_keras(name, keras_process, tmp_path):
  """The file, which names no architecture, is recognized, too."""
  path = tmp_path / 'model.weights.h5'
  images, expected = keras_process(name, path, size_of(name), gain=0.7)
  assert disagreement(path, images, expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize('ending', ['.h5', '.keras', '.weights.h5'])
def test_all_formats_of_keras_are_read(ending, keras_process, tmp_path):
  path = tmp_path / f'model{ending}'
  images, expected = keras_process(QUICK, path, 96)
  assert disagreement(path, images, expected) < TOLERANCE
