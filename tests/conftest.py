"""What all tests share: the golden contract, real data, a fresh graph."""

import gzip
import json
import os
import pathlib
import shutil
import signal

import pytest

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def pytest_configure():
  """Heeds signals that nohup or a shell's background ignores.

  The programs that tests start inherit that.
  """
  if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
  if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
  """Sorts the tests, and deselects what needs data or a browser that is missing.

  Files with slow tests come first, so that no process waits for the last one.
  .ci/run sets SLIM_TEST_DATA and installs chromium, so that all tests run there.
  """
  slow = {item.path for item in items if item.get_closest_marker('slow')}
  items.sort(key=lambda item: item.path not in slow)
  missing = set()
  if not os.environ.get('SLIM_TEST_DATA'):
    missing.add('slim_test_data')
  if shutil.which('chromium') is None:
    missing.add('browser')
  deselected = [item for item in items if missing & {*item.fixturenames}]
  config.hook.pytest_deselected(items=deselected)
  items[:] = [item for item in items if item not in deselected]


# Files whose tests share the graph of the network that their parameter names.
SHARE_GRAPHS = (
  'tests/nets/test_attention_everywhere.py',
  'tests/nets/test_conformance.py',
)


def pytest_xdist_make_scheduler(config, log):
  """Keeps the tests that share a graph on one worker, one after another.

  Marks of xdist_group would do so too, but pytest 9.2 drops them silently.
  """
  from xdist.scheduler import LoadScopeScheduling

  class GraphScheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
      path, _, test = nodeid.partition('::')
      _, _, parameters = test.partition('[')
      return f'{path}[{parameters}' if path in SHARE_GRAPHS else nodeid

  return GraphScheduling(config, log)


@pytest.fixture(scope='session')
def slim_test_data() -> pathlib.Path:
  """The folder of real photos, released weights and original records."""
  return pathlib.Path(os.environ['SLIM_TEST_DATA'])


@pytest.fixture(scope='session')
def contract_variables() -> dict:
  """'network+attention' -> image_size, variables, end_points.

  What the originals had, and for networks that slim never had what they had
  when they were added (scripts/update_contract.py).
  """
  contract = {}
  for name in ('variables', 'own_variables'):
    with gzip.open(GOLDEN / f'{name}.json.gz') as file:
      contract |= json.load(file)
  return contract


@pytest.fixture(scope='session')
def contract_logits() -> dict:
  """'network+attention' -> image_size, gain, logits."""
  return json.loads((GOLDEN / 'logits.json').read_text())


@pytest.fixture
def graph():
  """A fresh default graph."""
  # Imported here: tests of pure Python must not wait for TensorFlow.
  from tf_compat import tf

  with tf.Graph().as_default() as graph:
    yield graph


@pytest.fixture
def short_networks(monkeypatch):
  """Makes networks with few of the blocks that they repeat; 'tiny' is known."""
  import tiny_network

  tiny_network.shorten(monkeypatch.setattr)


@pytest.fixture(scope='session')
def digits(tmp_path_factory) -> pathlib.Path:
  """40 training and 23 test records; never changed by a test."""
  from tiny_data import write_digits

  return write_digits(tmp_path_factory.mktemp('data') / 'digits', 40, 23)


@pytest.fixture
def train_job(digits, tmp_path):
  """train_job(**options) -> a job of lenet in tmp_path/train."""
  from engine.config.jobs import TrainJob

  def make(**options):
    defaults = {
      'train_dir': str(tmp_path / 'train'),
      'dataset_name': 'digits',
      'dataset_dir': str(digits),
      'model_name': 'lenet',
      'batch_size': 8,
      'optimizer': 'momentum',
      'learning_rate': 0.003,
      'max_number_of_steps': 4,
      'log_every_n_steps': 1,
      'seed': 1,
      'num_readers': 1,
      'num_preprocessing_threads': 1,
    }
    return TrainJob(**defaults | options)

  return make


@pytest.fixture
def tiny_plots(monkeypatch):
  """Draws plots of one pixel; tests/engine/plots looks at real ones."""
  import tiny_plots

  from engine.plots import style

  monkeypatch.setattr(style, 'save', tiny_plots.save)


@pytest.fixture
def train(train_job, tiny_plots):
  """train(**options) -> the summary of a run whose given flags are these."""
  from engine.training import loop

  def run(**options):
    given = {'train_dir', 'dataset_name', 'dataset_dir', 'model_name', *options}
    return loop.train(train_job(**options), frozenset(given))

  return run


@pytest.fixture
def evaluate(tmp_path, tiny_plots):
  """evaluate(checkpoint_path, **options) -> the result, given flags only."""
  from engine.config.jobs import EvalJob
  from engine.evaluation import evaluator

  def run(checkpoint_path=None, **options):
    options['checkpoint_path'] = str(checkpoint_path or tmp_path / 'train')
    return evaluator.evaluate(EvalJob(**options), frozenset(options))

  return run
