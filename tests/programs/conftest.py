"""The programs as processes, with tiny records and a small network."""

import functools
import pathlib
import shutil

import pytest
from processes import Process, Server

# The smallest network: 16 pixels, 2.3 MB of weights, no optimizer slots.
SMALL = {
  'model_name': 'cifarnet',
  'train_image_size': 16,
  'batch_size': 8,
  'optimizer': 'sgd',
  'log_every_n_steps': 1,
}


@pytest.fixture(scope='session')
def server(tmp_path_factory):
  """The server that runs commands; see warm_programs.py."""
  server = Server(tmp_path_factory.mktemp('commands'))
  yield server
  server.close()


@pytest.fixture
def start(server, tmp_path):
  """start(program, *flags, **more) -> the Process, started in tmp_path."""
  yield functools.partial(server.start, cwd=tmp_path)
  server.kill()


@pytest.fixture
def run(start):
  """run(program, *flags, **more) -> the Process, when it has ended."""

  def run(*flags, **more) -> Process:
    process = start(*flags, **more)
    process.wait()
    return process

  return run


@pytest.fixture(scope='session')
def small(digits) -> dict:
  """The flags of a small run on digits."""
  return {'dataset_name': 'digits', 'dataset_dir': digits, **SMALL}


@pytest.fixture
def train(run, small):
  """train(**more) -> the ended Process of a small run in tmp_path/train."""

  def train(*flags, **more) -> Process:
    return run('train', *flags, **{'train_dir': 'train', **small, **more})

  return train


@pytest.fixture(scope='session')
def trained(server, small, tmp_path_factory) -> pathlib.Path:
  """A folder with a train_dir `train` at steps 0 and 4; copy it to change it.

  Beside it, `cbam` and `se` are the same with attention.
  """
  folder = tmp_path_factory.mktemp('trained')
  for name, attention in (
    ('train', None), ('cbam', 'cbam_block'), ('se', 'se_block'),
  ):  # fmt: skip
    process = server.start(
      'train', cwd=folder, train_dir=name, max_number_of_steps=4,
      attention_module=attention, **small,
    )  # fmt: skip
    assert process.wait() == 0, process.stderr
  return folder


@pytest.fixture
def copied(trained, tmp_path) -> pathlib.Path:
  """tmp_path/train, a copy of the trained one."""
  return pathlib.Path(shutil.copytree(trained / 'train', tmp_path / 'train'))
