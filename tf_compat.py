"""The only import of TensorFlow and TF-Slim, in graph mode.

All other modules write `from tf_compat import slim, tf`. Both are imported when
their first attribute is read, so that a program answers --help and refuses
wrong flags at once. This module also adapts tf-slim 1.1.0 to TensorFlow 2.16 to
2.21, with the reason for each change.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import importlib
import importlib.metadata
import os
import re
import signal
import sys
import threading
import types
import typing
import warnings
from collections.abc import Callable, Iterator

OLDEST, NEWEST = (2, 16), (2, 21)

# What TensorFlow's libraries print while they are loaded, before they read
# TF_CPP_MIN_LOG_LEVEL.
_STARTUP_NOISE = re.compile(
  rb'WARNING: All log messages before absl::InitializeLog'
  rb'|[IW]0000 00:.*\] (oneDNN custom operations|Could not find cuda drivers'
  rb'|This TensorFlow binary is optimized|Unable to register cu\w+ factory)'
  rb'|To enable the following instructions'
)


class _LazyModule(types.ModuleType):
  """A module that is imported when its first attribute is read."""

  def __getattr__(self, name: str) -> typing.Any:
    # Python asks modules for these, which must not load TensorFlow.
    if name.startswith('__'):
      raise AttributeError(name)
    value = getattr(_load()[self.__name__], name)
    setattr(self, name, value)
    return value


if typing.TYPE_CHECKING:
  import tensorflow.compat.v1 as tf
  import tf_slim as slim
else:
  tf, slim = _LazyModule('tf'), _LazyModule('slim')

_modules: dict[str, types.ModuleType] = {}
_when_loaded: list[Callable[[], object]] = []
_lock = threading.RLock()


def when_loaded(function: Callable[[], object]) -> None:
  """Calls a function when TensorFlow is loaded, or now if it is."""
  with _lock:
    if not _modules:
      _when_loaded.append(function)
      return
  function()


def few_runs() -> tf.ConfigProto:
  """Returns the configuration of a session for a few runs of a large graph.

  Optimizing the graph would take longer than it saves.
  """
  config = tf.ConfigProto()
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
  return config


def add_arg_scope(function: Callable) -> Callable:
  """Lets slim.arg_scope set arguments of a function, as slim.add_arg_scope.

  The decorator does not load TensorFlow.
  """
  registered: list[Callable] = []

  @functools.wraps(function)
  def scoped(*args, **kwargs):
    if not registered:
      _load()
    return registered[0](*args, **kwargs)

  def register():
    registered.append(slim.add_arg_scope(function))
    # The key under which tf-slim keeps a function's arguments.
    vars(scoped)['_key_op'] = vars(registered[0])['_key_op']

  when_loaded(register)
  return scoped


def register_gradient(name: str) -> Callable[[Callable], Callable]:
  """Registers a gradient function, as tf.RegisterGradient.

  The decorator does not load TensorFlow.
  """

  def register(function: Callable) -> Callable:
    when_loaded(lambda: tf.RegisterGradient(name)(function))
    return function

  return register


def without_autograph(function: Callable) -> Callable:
  """Keeps TensorFlow from rewriting what a function passes to tf.data.

  It would turn Python's conditions into those of a graph, which takes a second
  for a reader's functions, and their source lies in $TMPDIR until the end.
  """

  @functools.wraps(function)
  def plain(*args, **kwargs):
    return tf.autograph.experimental.do_not_convert(function)(*args, **kwargs)

  return plain


def saving_builder() -> typing.Any:
  """Returns the builder of a tf.train.Saver that cannot restore.

  Training restores once, with a saver of its own, and a new run never does. The
  operations that restore would be an eighth of a training graph.
  """
  # Not a part of TensorFlow's public interface.
  from tensorflow.python.training.saver import BulkSaverBuilder

  class SavingBuilder(BulkSaverBuilder):
    def _AddRestoreOps(self, *args, **kwargs):  # noqa: N802
      del args, kwargs
      return tf.Assert(False, ['This saver cannot restore.'])

  return SavingBuilder()


def versions() -> dict[str, str]:
  """Returns the versions of TensorFlow, tf-keras and TF-Slim."""
  return {
    'tensorflow': tf.VERSION,
    'tf_keras': importlib.metadata.version('tf-keras'),
    'tf_slim': importlib.metadata.version('tf-slim'),
  }


def _load() -> dict[str, types.ModuleType]:
  """Imports TensorFlow and TF-Slim once, in graph mode."""
  with _lock:
    if not _modules:
      _modules.update(_import())
      for function in _when_loaded:
        function()
  return _modules


def _import() -> dict[str, types.ModuleType]:
  """Imports TensorFlow and TF-Slim, in graph mode."""
  # tf-slim is written against Keras 2, which lives on as the package tf-keras;
  # TensorFlow reads this variable once, when it is first imported.
  os.environ['TF_USE_LEGACY_KERAS'] = '1'
  quiet = 'TF_CPP_MIN_LOG_LEVEL' not in os.environ
  # Otherwise, every program starts with a page of C++ notes on the processor
  # and, without a GPU, with an error about that.
  os.environ.setdefault(
    'TF_CPP_MIN_LOG_LEVEL', '2' if glob.glob('/dev/nvidia*') else '3'
  )
  # On CPUs, only oneDNN has the gradient of grouped convolutions. By default,
  # TensorFlow enables it only on some processors.
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
  with _without_startup_noise() if quiet else contextlib.nullcontext():
    tf2 = importlib.import_module('tensorflow')
    _check_version(tf2.__version__)
    _restore_legacy_layers()
    slim = importlib.import_module('tf_slim')
  _separate_arg_scopes()
  v1 = tf2.compat.v1
  v1.disable_eager_execution()
  # Tensors and variables are compared by identity in graph mode anyway. Without
  # this, each new weight checks the mode for every variable, which took two
  # thirds of the time to build the largest networks.
  v1.disable_tensor_equality()
  # TensorFlow warns of tf-slim's calls, which users cannot change; the programs
  # raise or print what users should know.
  v1.logging.set_verbosity(v1.logging.ERROR)
  warnings.filterwarnings('ignore', r'`[a-z.]+` is deprecated', UserWarning)
  return {'tf': v1, 'slim': slim}


@contextlib.contextmanager
def _without_startup_noise() -> Iterator[None]:
  """Removes lines of _STARTUP_NOISE from stderr in the body.

  A forked process filters them: what TensorFlow says before it aborts (say, on
  a processor without AVX) must still get through.
  """
  if threading.active_count() > 1:  # Only a process of one thread may fork.
    yield
    return
  sys.stderr.flush()
  stderr = os.dup(2)
  source, sink = os.pipe()
  child = os.fork()
  if not child:
    os.close(sink)
    _copy_without_noise(source, stderr)
  os.dup2(sink, 2)
  os.close(sink)
  os.close(source)
  try:
    yield
  finally:
    sys.stderr.flush()
    os.dup2(stderr, 2)
    os.close(stderr)
    os.waitpid(child, 0)


def _copy_without_noise(source: int, target: int) -> typing.NoReturn:
  """Copies lines until the other process closes the pipe, and exits."""
  # Ctrl-C reaches this process too; it ends with the one it serves.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  signal.signal(signal.SIGTERM, signal.SIG_IGN)
  try:
    with open(source, 'rb') as lines:
      for line in lines:
        if not _STARTUP_NOISE.match(line):
          os.write(target, line)
  finally:
    os._exit(0)


def _check_version(version: str) -> None:
  """Raises ImportError unless this TensorFlow version is supported."""
  if not OLDEST <= tuple(map(int, version.split('.')[:2])) <= NEWEST:
    raise ImportError(
      f'TensorFlow {version} is not supported: install one from '
      f'{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} and tf-keras of '
      'the same minor version (bash scripts/setup.sh does).'
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
  """Gives each thread its own stack of arg scopes.

  tf.distribute builds clones in threads that take turns; on the one stack that
  tf-slim has, they would open and close each other's scopes.
  """
  local = threading.local()
  arg_scope = importlib.import_module('tf_slim.ops.arg_scope')
  vars(arg_scope)['_get_arg_stack'] = lambda: vars(local).setdefault(
    'stack', [{}]
  )


__all__ = [
  'NEWEST',
  'OLDEST',
  'add_arg_scope',
  'register_gradient',
  'saving_builder',
  'slim',
  'tf',
  'versions',
  'when_loaded',
  'without_autograph',
]
