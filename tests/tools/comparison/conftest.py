"""A comparison whose training and evaluation programs are replaced by scripts.

tests/programs/test_comparing.py runs the real programs.
"""

import json

import pytest

from engine.config.jobs import CompareJob
from tools.comparison import compare as compare_lib
from tools.comparison.table import Row

LOG = """\
import json, os, pathlib, sys
flags = dict(a.removeprefix('--').split('=', 1) for a in sys.argv[1:])
with open(os.path.join(os.path.dirname(__file__), 'log'), 'a') as file:
  file.write(json.dumps([os.path.basename(__file__), flags]) + '\\n')
"""
TRAIN = """\
folder = pathlib.Path(flags['train_dir'])
folder.mkdir(parents=True, exist_ok=True)
trouble = os.path.join(os.path.dirname(__file__), 'trouble')
if os.path.exists(trouble) and flags['seed'] == '2':
  if open(trouble).read() == 'fail':
    sys.exit(3)
  (folder / 'finished.json').write_text(
    '{"reason": "non_finite", "global_step": 7}')
  sys.exit(2)
(folder / 'finished.json').write_text(
  '{"reason": "max_number_of_steps", "global_step": 50}')
(folder / 'accuracy').write_text(
  str(0.5 + 0.01 * int(flags['seed']) ** 2
      + 0.1 * ('attention_module' in flags)))
"""
EVAL = """\
folder = pathlib.Path(flags['checkpoint_path'])
(folder / 'eval').mkdir(exist_ok=True)
(folder / 'eval' / 'results.json').write_text(json.dumps({
  'global_step': 50, 'split': flags['dataset_split_name'],
  'metrics': {'Accuracy': float((folder / 'accuracy').read_text())}}))
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
  """The folder of the stand-ins; `trouble` in it spoils seed 2."""
  folder = tmp_path / 'programs'
  folder.mkdir()
  (folder / 'train_image_classifier.py').write_text(LOG + TRAIN)
  (folder / 'eval_image_classifier.py').write_text(LOG + EVAL)
  monkeypatch.setattr(compare_lib, '_PROGRAMS', folder)
  return folder


@pytest.fixture
def compare(digits, tmp_path):
  """compare(**options) -> the summary; None unsets a default."""

  def run(**options):
    defaults = {
      'train_dir': str(tmp_path / 'runs'), 'model_name': 'lenet',
      'dataset_name': 'digits', 'dataset_dir': str(digits),
      'attention_modules': 'none;se_block(ratio=4)@class', 'seeds': '1,2',
      'max_number_of_steps': 50, 'timing_steps': 0, 'learning_rate': 0.02,
    }  # fmt: skip
    options = {n: v for n, v in (defaults | options).items() if v is not None}
    return compare_lib.compare(CompareJob(**options), frozenset(options))

  return run


@pytest.fixture
def logged(programs):
  """logged() -> the calls since the last time: program, flags."""

  def read():
    path = programs / 'log'
    text = path.read_text() if path.exists() else ''
    path.unlink(missing_ok=True)
    return [json.loads(line) for line in text.splitlines()]

  return read


@pytest.fixture
def make_rows():
  """make_rows(accuracies of a variant, ...) -> rows of the table."""

  def make(*accuracies):
    return [
      Row(f'kind_{n}', 1000, 2_000_000, 0.1, 50, dict(enumerate(values)))
      for n, values in enumerate(accuracies)
    ]

  return make
