"""The configuration of sessions, and its use in every session.

Without TF_XLA_FLAGS a CPU compiles nothing, so only the last test compiles with
XLA; the others check that --xla reaches the configuration.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from deployment import devices
from engine.run_dir import progress_csv
from tf_compat import slim, tf

ROOT = pathlib.Path(__file__).parents[2]


def is_compiled(config: tf.ConfigProto) -> bool:
  level = config.graph_options.optimizer_options.global_jit_level
  return level == tf.OptimizerOptions.ON_1


def test_xla_and_precision_are_independent():
  assert not is_compiled(devices.session_config('bfloat16'))
  config = devices.session_config('bfloat16', xla=True)
  assert is_compiled(config)
  rewrite = config.graph_options.rewrite_options
  assert rewrite.auto_mixed_precision_onednn_bfloat16


def test_servers_compute_in_bfloat16(graph):
  """They refuse fused operations, which a session without a server uses."""
  server = tf.train.Server.create_local_server()
  images = tf.placeholder(tf.float32, [8, 16, 16, 8])
  net = slim.conv2d(
    images, 8, 3, padding='VALID', weights_initializer=tf.ones_initializer()
  )
  config = devices.session_config('bfloat16', cpu_only=True, served=True)
  with tf.Session(server.target, config=config) as session:
    session.run(tf.global_variables_initializer())
    output = session.run(net, {images: np.ones([8, 16, 16, 8])})
  np.testing.assert_array_equal(output, np.full([8, 14, 14, 8], 3 * 3 * 8))


@pytest.mark.slow
@pytest.mark.parametrize('options', [{}, {'num_clones': 2}])
def test_training_and_its_evaluation_use_xla(train, monkeypatch, options):
  configs = []
  for owner in (tf, tf.train.ChiefSessionCreator):
    name = 'Session' if owner is tf else '__init__'
    init = getattr(owner, name)

    def spy(*args, init=init, **kwargs):
      values = [*args, *kwargs.values()]
      configs.extend(c for c in values if isinstance(c, tf.ConfigProto))
      return init(*args, **kwargs)

    monkeypatch.setattr(owner, name, spy)
  train('run', xla=True, clone_on_cpu=True, eval_every_n_steps=3, **options)
  assert len(configs) >= 2
  assert all(map(is_compiled, configs))


@pytest.mark.slow
def test_compiled_steps_are_the_same(train, digits, tmp_path):
  """On a CPU that TF_XLA_FLAGS makes compile, in reduced precision."""
  options = {
    'model_name': 'lenet', 'mixed_precision': 'bfloat16',
    # A larger one would enlarge the rounding of the first step.
    'max_number_of_steps': 2, 'learning_rate': 0.001,
  }  # fmt: skip
  train('plain', **options)
  flags = {
    **options, 'train_dir': tmp_path / 'compiled', 'dataset_dir': digits,
    'dataset_name': 'digits', 'batch_size': 8, 'optimizer': 'momentum',
    'log_every_n_steps': 1, 'seed': 1,
    'num_readers': 1, 'num_preprocessing_threads': 1, 'xla': True,
  }  # fmt: skip
  environment = {
    'TF_XLA_FLAGS': '--tf_xla_cpu_global_jit', 'TF_CPP_MIN_LOG_LEVEL': '0',
  }  # fmt: skip
  process = subprocess.run(
    [sys.executable, ROOT / 'train_image_classifier.py']
    + [f'--{name}={value}' for name, value in flags.items()],
    env=os.environ | environment,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.returncode == 0, process.stderr
  assert 'Compiled cluster using XLA' in process.stderr
  plain, compiled = (
    progress_csv.read(tmp_path / name / progress_csv.FILE)['loss']
    for name in ('plain', 'compiled')
  )
  # Twice the relative distance of two numbers in bfloat16: processors without
  # instructions for them round in other places.
  np.testing.assert_allclose(compiled, plain, rtol=2**-7)
