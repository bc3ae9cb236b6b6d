"""What all tests share: the golden contract, real data, a fresh graph."""

import gzip
import json
import os
import pathlib

import pytest

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def pytest_collection_modifyitems(config, items):
  """Groups what shares fixtures; deselects what needs real data in vain.

  Tests of a file stay with one of xdist's workers, to share what they trained;
  but the conformance suite, which is longer than all others together, only for
  each network. .ci/run always names SLIM_TEST_DATA, so nothing is left out
  there.
  """
  for item in items:
    key = getattr(item, 'callspec', None) and item.callspec.params.get('key')
    item.add_marker(pytest.mark.xdist_group(f'{item.path.name}{key or ""}'))
  if os.environ.get('SLIM_TEST_DATA'):
    return
  needing = [item for item in items if 'slim_test_data' in item.fixturenames]
  config.hook.pytest_deselected(items=needing)
  items[:] = [item for item in items if item not in needing]


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
