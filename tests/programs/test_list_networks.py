"""list_networks.py as a command."""

import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).parents[2] / 'list_networks.py'

pytestmark = pytest.mark.slow


def test_layers_go_to_stdout(run):
  process = run('list', model_name='lenet', attention_module='cbam_block')
  assert process.code == 0
  header, *layers, total = process.stdout.splitlines()
  assert header.split() == ['layer', 'output', 'parameters', 'multiply-adds']
  assert [line.split()[0] for line in layers][::5] == [
    'LeNet/conv1',
    'LeNet/pool2_CBAM/ch_at/mlp_0',
  ]
  assert total.split()[0] == 'total'


def test_unknown_network(run):
  process = run('list', model_name='lenett')
  assert process.code == 2
  assert "Did you mean 'lenet'?" in process.error
  assert process.stdout == ''


def test_a_reader_that_ends_early_leaves_no_trace():
  with subprocess.Popen(
    [sys.executable, PROGRAM, '--model_name=lenet'],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  ) as process:
    process.stdout.close()
    assert b'Traceback' not in process.stderr.read()
  assert process.returncode == 141
