"""The only door to TensorFlow and TF-Slim: versions, graph mode, tf, slim.

Everything else says `from tf_compat import slim, tf`. Here is what it takes
for tf-slim 1.1.0 to run on TensorFlow 2.16 to 2.21, each with its reason.
"""

import glob
import importlib
import importlib.metadata
import os
import sys
import threading
import warnings

# tf-slim is written against Keras 2, which lives on as the package tf-keras;
# TensorFlow reads this variable once, when it is first imported.
os.environ['TF_USE_LEGACY_KERAS'] = '1'
# Without it every program opens with a page of C++ notes on the processor, and
# where there is no GPU with an error for not having one.
os.environ.setdefault(
  'TF_CPP_MIN_LOG_LEVEL', '2' if glob.glob('/dev/nvidia*') else '3'
)
# On CPUs, the gradient of grouped convolutions is oneDNN's alone, which
# TensorFlow turns on by itself only where it knows the processor well.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')

import tensorflow as tf2

OLDEST, NEWEST = (2, 16), (2, 21)


def _check_version(version: str) -> None:
  """Raises ImportError if this TensorFlow is not one that was tried."""
  if not OLDEST <= tuple(map(int, version.split('.')[:2])) <= NEWEST:
    raise ImportError(
      f'TensorFlow {version} is not supported: install one from '
      f'{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} and tf-keras of '
      'the same minor version (bash scripts/quickstart.sh does).'
    )


def _restore_legacy_layers() -> None:
  """Puts tf_keras's v1 layers where tf-slim looks for them.

  tf-slim imports tf_keras.legacy_tf_layers; tf-keras moved it under `src`.
  """
  source, target = 'tf_keras.src.legacy_tf_layers', 'tf_keras.legacy_tf_layers'
  sys.modules[target] = importlib.import_module(source)
  for module in ('base', 'convolutional', 'core', 'normalization', 'pooling'):
    sys.modules[f'{target}.{module}'] = importlib.import_module(
      f'{source}.{module}'
    )


def _separate_arg_scopes() -> None:
  """Gives each thread a stack of arg scopes of its own.

  tf.distribute builds clones in threads that take turns; on the one stack that
  tf-slim has, they would open and close each other's scopes.
  """
  local = threading.local()
  arg_scope = importlib.import_module('tf_slim.ops.arg_scope')
  arg_scope._get_arg_stack = lambda: vars(local).setdefault('stack', [{}])


_check_version(tf2.__version__)
_restore_legacy_layers()

import tf_slim as slim  # noqa: E402

_separate_arg_scopes()

tf = tf2.compat.v1
tf.disable_eager_execution()
# Tensors and variables are compared by identity in graph mode anyway. Asking
# for it spares a look at every variable for the mode at each new weight, which
# was two thirds of the time in which the largest networks are built.
tf.disable_tensor_equality()
# What TensorFlow warns of here is how tf-slim calls it, which no user of ours
# can change; what is ours to say is raised or printed by the programs.
tf.logging.set_verbosity(tf.logging.ERROR)
warnings.filterwarnings('ignore', r'`[a-z.]+` is deprecated', UserWarning)

VERSIONS = {
  'tensorflow': tf2.__version__,
  'tf_keras': importlib.metadata.version('tf-keras'),
  'tf_slim': importlib.metadata.version('tf-slim'),
}

__all__ = ['NEWEST', 'OLDEST', 'VERSIONS', 'slim', 'tf']
