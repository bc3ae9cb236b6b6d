"""Compares the logits of converted weights with the other project's.

The other project runs in a process of its own: Keras 3 and the Keras 2 of
TF-Slim cannot be loaded together.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors.numpy
from absl import logging

from errors import UserError
from nets import nets_factory
from tf_compat import few_runs, slim, tf
from weights import translation
from weights.convert import Converted

# Largest difference of a logit, as a fraction of the largest logit. float32,
# summed in another order, differs by far less in trained weights.
TOLERANCE = 1e-4
# Weights may amplify rounding errors: logits may differ by this many times what a
# change of each pixel in its last bit does to them.
_TIMES_ROUNDING = 20
# Project -> packages that can compute its networks.
_PACKAGES = {
  'keras': ('keras',),
  'timm': ('timm', 'torchvision'),
  'torchvision': ('torchvision',),
}
_SECONDS = 900


def difference(converted: Converted) -> float | None:
  """Returns the largest difference of a logit, or None if it cannot be known.

  Both networks get two images of random pixels.

  Args:
    converted: the converted weights.

  Raises:
    UserError: if the logits differ by more than TOLERANCE, and by more than
      rounding may change them.
  """
  package = _package(converted.origin.partition(':')[0])
  if converted.weights is None or package is None:
    return None
  size = converted.image_size
  images = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3))
  images = images.astype(np.float32)
  expected = _reference_logits(converted, images, package)
  if expected is None:
    return None
  rounded = np.nextafter(images, np.float32(2))
  got, moved = np.split(logits(converted, np.concatenate([images, rounded])), 2)
  largest = np.abs(expected).max()
  value = float(np.abs(got - expected).max() / largest)
  rounding = float(np.abs(got - moved).max() / largest)
  if not value <= max(TOLERANCE, _TIMES_ROUNDING * rounding):
    raise UserError(
      f'{converted.source}: the logits of {converted.network} differ from those '
      f'of {converted.origin} by {value:.1e} of the largest one. Its weights fit, '
      'but it computes something else.'
    )
  return value


def _package(project: str) -> str | None:
  """Returns the installed package that computes a project's networks, or None."""
  for package in _PACKAGES.get(project, ()):
    if importlib.util.find_spec(package) is not None:
      return package
  return None


def logits(converted: Converted, images: np.ndarray) -> np.ndarray:
  """Computes our network's logits.

  Args:
    converted: the network and its weights.
    images: preprocessed, [N, H, W, C].

  Returns:
    [N, num_classes].
  """
  with tf.Graph().as_default(), tf.Session(config=few_runs()) as session:
    network_fn = nets_factory.get_network_fn(
      converted.network,
      converted.num_classes,
      attention_module=converted.attention,
      padding=converted.padding,
    )
    placeholder = tf.placeholder(tf.float32, images.shape)
    net, _ = network_fn(placeholder)
    # Auxiliary classifiers, which images of another size change, do not matter.
    variables = [
      variable
      for variable in slim.get_model_variables()
      if np.shape(converted.values.get(variable.op.name)) == variable.shape
    ]
    session.run(
      [variable.initializer for variable in variables],
      {
        variable.initializer.inputs[1]: converted.values[variable.op.name]
        for variable in variables
      },
    )
    others = {*tf.global_variables()} - {*variables}
    session.run(tf.variables_initializer(others))
    return session.run(net, {placeholder: images})


def _reference_logits(
  converted: Converted, images: np.ndarray, package: str
) -> np.ndarray | None:
  """Computes logits by another package; None if it cannot run the network."""
  architecture, weights = converted.architecture, converted.weights
  assert architecture
  assert weights
  # safetensors would write the values of a transposed view in another order.
  arrays = {
    f'{name}/{kind}': np.ascontiguousarray(array)
    for name, module in weights.modules.items()
    if not translation.is_ignored(name)
    for kind, array in module.items()
  }
  if architecture.bgr:
    images = images[..., ::-1]
  with tempfile.TemporaryDirectory(prefix='slim_proof_') as name:
    folder = pathlib.Path(name)
    safetensors.numpy.save_file(arrays, folder / 'weights.safetensors')
    np.save(folder / 'images.npy', images)
    environment = {
      **os.environ,
      'CUDA_VISIBLE_DEVICES': '',
      'KERAS_BACKEND': 'tensorflow',
      'TF_CPP_MIN_LOG_LEVEL': '3',
    }
    environment.pop('TF_USE_LEGACY_KERAS', None)
    network = architecture.name.partition(':')[2]
    request = [package, network, str(converted.num_classes), str(folder)]
    try:
      subprocess.run(
        [sys.executable, '-m', 'weights.reference'],
        cwd=pathlib.Path(__file__).parents[1],
        input='\n'.join(request),
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
      )
    except subprocess.SubprocessError as error:
      logging.warning(
        'The logits of %s were not compared: %s cannot compute them here (%s).',
        architecture.name,
        package,
        _reason(error),
      )
      return None
    return np.load(folder / 'logits.npy')


def _reason(error: subprocess.SubprocessError) -> str:
  """Returns the last line that a failed process wrote, or how it ended."""
  if isinstance(error, subprocess.CalledProcessError) and error.stderr.strip():
    return error.stderr.strip().splitlines()[-1]
  return str(error)
