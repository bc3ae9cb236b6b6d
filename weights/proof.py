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
from weights.convert import Converted

# Largest difference of a logit, as a fraction of the largest logit. float32,
# summed in another order, differs by far less in trained weights.
TOLERANCE = 1e-3
_PACKAGES = {'keras': 'keras', 'timm': 'timm'}
_SECONDS = 900


def difference(converted: Converted) -> float | None:
  """Returns the largest difference of a logit, or None if it cannot be known.

  Both networks get two images of random pixels.

  Args:
    converted: the converted weights.

  Raises:
    UserError: if the logits differ by more than TOLERANCE.
  """
  architecture, weights = converted.architecture, converted.weights
  project = converted.origin.partition(':')[0]
  if architecture is None or weights is None or project not in _PACKAGES:
    return None
  if importlib.util.find_spec(_PACKAGES[project]) is None:
    return None
  size = converted.image_size
  images = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3))
  images = images.astype(np.float32)
  expected = _reference_logits(converted, images)
  if expected is None:
    return None
  got = logits(converted, images)
  value = float(np.abs(got - expected).max() / np.abs(expected).max())
  if not value <= TOLERANCE:
    raise UserError(
      f'{converted.source}: the logits of {converted.network} differ from those '
      f'of {converted.origin} by {value:.1e} of the largest one. Its weights fit, '
      'but it computes something else.'
    )
  return value


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
  converted: Converted, images: np.ndarray
) -> np.ndarray | None:
  """Computes the other project's logits; None if it cannot run the network."""
  architecture, weights = converted.architecture, converted.weights
  assert architecture
  assert weights
  arrays = {
    f'{name}/{kind}': array
    for name, module in weights.modules.items()
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
    request = [architecture.name, str(converted.num_classes), str(folder)]
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
        'The logits were not compared: %s cannot compute them here (%s).',
        architecture.name,
        _reason(error),
      )
      return None
    return np.load(folder / 'logits.npy')


def _reason(error: subprocess.SubprocessError) -> str:
  """Returns the last line that a failed process wrote, or how it ended."""
  if isinstance(error, subprocess.CalledProcessError) and error.stderr.strip():
    return error.stderr.strip().splitlines()[-1]
  return str(error)
