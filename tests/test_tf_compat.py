"""TensorFlow is loaded late, once, and without its startup messages."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PROGRAMS = sorted(path.name for path in ROOT.glob('*_*.py'))
NOISE = 'WARNING: All log messages before absl::InitializeLog() is called'


def python(code: str, **environ: str) -> subprocess.CompletedProcess:
  """Runs code in a new interpreter, in the checkout."""
  return subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env=environ,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )


def test_jobs_flags_and_tables_do_not_load_tensorflow():
  """So --help and wrong flags are answered at once."""
  code = (
    'import sys, engine.config.flags, engine.config.jobs as jobs\n'
    "jobs.TrainJob(attention_module='cbam_block(ratio=4)', augment='mixup')\n"
    "print([name for name in ('tensorflow', 'tf_slim', 'matplotlib', "
    "'sklearn') if name in sys.modules])"
  )
  assert python(code).stdout == '[]\n'


@pytest.mark.parametrize(
  'program', [name for name in PROGRAMS if name not in ('tf_compat.py',)]
)
def test_help_lists_flags_and_succeeds(program):
  process = subprocess.run(
    [sys.executable, ROOT / program, '--help'],
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert (process.returncode, process.stderr) == (0, '')
  assert '--model_name' in process.stdout or '--dataset_dir' in process.stdout


def test_registrations_wait_for_tensorflow():
  code = (
    'import sys, tf_compat\n'
    'from nets.attention.attend import attend\n'
    'import nets.attention.memory_ops, deployment.clones\n'
    "assert 'tensorflow' not in sys.modules\n"
    'slim = tf_compat.slim\n'
    'with slim.arg_scope([attend], module=None):\n'
    '  print(attend(3))'
  )
  process = python(code)
  assert process.stdout == '3\n', process.stderr


def test_startup_messages_appear_only_if_asked_for():
  code = 'from tf_compat import tf; print(tf.constant(1).op.type)'
  quiet, loud = python(code), python(code, TF_CPP_MIN_LOG_LEVEL='0')
  assert (quiet.stdout, quiet.stderr) == ('Const\n', '')
  assert loud.stdout == 'Const\n'
  assert 'oneDNN custom operations are on' in loud.stderr


def test_other_messages_pass_even_if_the_process_aborts():
  code = (
    'import os, tf_compat\n'
    'with tf_compat._without_startup_noise():\n'
    f"  os.write(2, b'{NOISE}\\nillegal instruction\\n')\n"
    '  os.abort()'
  )
  process = python(code)
  assert process.returncode == -6
  assert process.stderr == 'illegal instruction\n'
