"""Computes logits by another package, in a process of its own; see proof.py.

Standard input has the package, its network, the number of classes and a folder,
which holds weights.safetensors (layer/array) and images.npy, and receives
logits.npy.
"""

import pathlib
import re
import sys

import numpy as np
import safetensors.numpy

from weights import modules

# How our names of Keras' MobileNets end -> their width multiplier.
_ALPHAS = {'075': 0.75, '050': 0.5, '025': 0.25, '140': 1.4, '035': 0.35}


def main() -> None:
  """Computes the logits."""
  package, name, num_classes, folder = sys.stdin.read().split('\n')
  path = pathlib.Path(folder)
  weights = safetensors.numpy.load_file(path / 'weights.safetensors')
  images = np.load(path / 'images.npy')
  if package == 'keras':
    logits = keras_logits(name, int(num_classes), weights, images)
  else:
    model = pytorch_model(package, name, int(num_classes))
    logits = pytorch_logits(model, weights, images)
  np.save(path / 'logits.npy', logits)


def keras_logits(
  name: str,
  num_classes: int,
  weights: dict[str, np.ndarray],
  images: np.ndarray,
) -> np.ndarray:
  """Computes the logits of a network of keras.applications."""
  import keras

  model = keras_model(name, num_classes, images.shape[1])
  numbered = modules.numbered(layer.name for layer in model.layers)
  for layer in model.layers:
    if layer.weights:
      stored = numbered.get(layer.name, layer.name)
      layer.set_weights(
        [
          weights[f'{stored}/{v.path.rpartition("/")[2]}'].reshape(v.shape)
          for v in layer.weights
        ]
      )
  keras.backend.clear_session()
  return np.asarray(model(images, training=False)).reshape(len(images), -1)


def keras_model(name: str, num_classes: int, size: int):
  """Builds a network of keras.applications with linear logits."""
  import keras

  options: dict[str, object] = {}
  match = re.fullmatch(r'(MobileNet|MobileNetV2)_(\d+)', name)
  if match:
    name, options['alpha'] = match[1], _ALPHAS[match[2]]
  if name.startswith('MobileNetV3'):
    options['include_preprocessing'] = False
    if name.endswith('Minimalistic'):
      name, options['minimalistic'] = name.removesuffix('Minimalistic'), True
  if 'NASNet' not in name:
    options['classifier_activation'] = None
  model = getattr(keras.applications, name)(
    weights=None, classes=num_classes, input_shape=(size, size, 3), **options
  )
  # Linear, where no option says so.
  model.layers[-1].activation = keras.activations.linear
  return model


def pytorch_model(package: str, name: str, num_classes: int):
  """Builds a network of timm or torchvision."""
  if package == 'timm':
    import timm

    return timm.create_model(name, num_classes=num_classes)
  import torchvision

  # Its published weights take pixels from 0 to 1, and change their scale first.
  options = {}
  if name == 'inception_v3':
    options = {'transform_input': False, 'init_weights': False}
  return torchvision.models.get_model(
    name, weights=None, num_classes=num_classes, **options
  )


def pytorch_logits(
  model, weights: dict[str, np.ndarray], images: np.ndarray
) -> np.ndarray:
  """Computes the logits of a network of PyTorch."""
  import torch

  kinds = {
    'kernel': 'weight', 'bias': 'bias', 'gamma': 'weight', 'beta': 'bias',
    'moving_mean': 'running_mean', 'moving_variance': 'running_var',
  }  # fmt: skip
  model.eval()
  state = model.state_dict()
  for key, array in weights.items():
    module, _, kind = key.rpartition('/')
    if kind == 'kernel':
      array = np.moveaxis(array, (-2, -1), (1, 0))
    target = f'{module}.{kinds[kind]}'
    state[target] = torch.from_numpy(array.copy()).reshape(state[target].shape)
  model.load_state_dict(state)
  with torch.no_grad():
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    return model(pixels).numpy()


if __name__ == '__main__':
  main()
