"""compare_attention.py: which runs it makes, with what flags, and its table.

The programs that train and evaluate are stood in for by scripts of a few lines;
tests/programs/test_comparing.py holds the real ones.
"""

import csv
import json
import statistics

import pytest
from PIL import Image

from engine import comparison, comparison_plot, comparison_table
from engine.comparison_table import Row
from engine.job import CompareJob
from errors import UserError

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
(folder / 'eval').mkdir()
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
  monkeypatch.setattr(comparison, '_PROGRAMS', folder)
  return folder


@pytest.fixture
def compare(digits, tmp_path):
  """compare(**options) -> the summary; options None are not given."""

  def run(**options):
    defaults = {
      'train_dir': str(tmp_path / 'runs'), 'model_name': 'lenet',
      'dataset_name': 'digits', 'dataset_dir': str(digits),
      'attention_modules': 'none;se_block(ratio=4)@class', 'seeds': '1,2',
      'max_number_of_steps': 50, 'timing_steps': 0, 'learning_rate': 0.02,
    }  # fmt: skip
    options = {n: v for n, v in (defaults | options).items() if v is not None}
    return comparison.compare(CompareJob(**options), frozenset(options))

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


def table(folder):
  with (folder / 'comparison.csv').open() as file:
    return list(csv.DictReader(file))


def test_runs_are_alike_but_for_attention_and_seed(compare, logged, tmp_path):
  summary = compare()
  calls = logged()
  trained = [f for p, f in calls if p == 'train_image_classifier.py']
  assert [(f.get('attention_module'), f['seed']) for f in trained] == [
    (None, '1'), ('se_block(ratio=4)', '1'),
    (None, '2'), ('se_block(ratio=4)', '2'),
  ]  # fmt: skip
  own = {'train_dir', 'attention_module', 'attention_placement', 'seed'}
  shared = [{n: f[n] for n in f.keys() - own} for f in trained]
  assert shared[1:] == shared[:-1]
  assert shared[0].keys() == {
    'model_name', 'dataset_name', 'dataset_dir', 'max_number_of_steps',
    'learning_rate',
  }  # fmt: skip
  assert len({f['train_dir'] for f in trained}) == 4
  evaluated = [f for p, f in calls if p == 'eval_image_classifier.py']
  assert [f['checkpoint_path'] for f in evaluated] == [
    f['train_dir'] for f in trained
  ]
  assert {f['dataset_split_name'] for f in evaluated} == {'test'}
  assert summary.exit_code == 0
  plain, attended = table(tmp_path / 'runs')
  assert plain['attention'] == 'none'
  assert attended['attention'] == 'se_block(ratio=4)@class'
  for row, accuracies in ((plain, [0.51, 0.54]), (attended, [0.61, 0.64])):
    assert float(row['accuracy_mean']) == pytest.approx(sum(accuracies) / 2)
    assert float(row['accuracy_std']) == pytest.approx(0.03 / 2**0.5)
    assert float(row['accuracy_seed_2']) == pytest.approx(accuracies[1])
    assert row['runs'] == '2'
  # W0 [64, 16], W1 [16, 64] and their biases, on the last map of 64 channels.
  extra = int(attended['parameters']) - int(plain['parameters'])
  assert extra == 2 * 64 * 16 + 16 + 64
  added = int(attended['multiply_adds']) - int(plain['multiply_adds'])
  assert added == 2 * 64 * 16
  text = (tmp_path / 'runs' / 'comparison.md').read_text()
  assert '| 0.5250 ± 0.0212 (2 runs) |' in text


def test_nothing_is_done_twice_and_more_may_be_added(
  compare, logged, tmp_path, digits
):
  compare(seeds='1')
  assert len(logged()) == 4
  # Where it was begun is all that must be said.
  job = CompareJob(train_dir=str(tmp_path / 'runs'))
  comparison.compare(job, {'train_dir'})
  assert logged() == []
  compare(seeds='1,3')
  assert {flags.get('seed', '3') for _, flags in logged()} == {'3'}
  compare(seeds='3', attention_modules='cbam_block;none', learning_rate=None)
  assert [flags.get('attention_module') for _, flags in logged()] == [
    'cbam_block', None,
  ]  # fmt: skip
  assert [row['attention'] for row in table(tmp_path / 'runs')] == [
    'cbam_block', 'none',
  ]  # fmt: skip


def test_a_run_that_fails_stops_it_and_what_was_done_stays(
  compare, logged, programs, tmp_path
):
  (programs / 'trouble').write_text('fail')
  with pytest.raises(UserError, match=r'failed with 3 in .*none, seed 2'):
    compare()
  assert [row['runs'] for row in table(tmp_path / 'runs')] == ['1', '1']
  assert len(logged()) == 5
  (programs / 'trouble').unlink()
  compare()
  assert len(logged()) == 4
  assert [row['runs'] for row in table(tmp_path / 'runs')] == ['2', '2']


def test_a_run_that_diverged_counts_as_such(
  compare, logged, programs, tmp_path
):
  (programs / 'trouble').write_text('diverge')
  compare()
  assert [program for program, _ in logged()].count(
    'eval_image_classifier.py'
  ) == 2
  (row, _) = table(tmp_path / 'runs')
  assert (row['runs'], row['diverged'], row['accuracy_std']) == ('1', '1', '')
  assert (
    '(1 of 2 runs, 1 diverged)'
    in (tmp_path / 'runs' / 'comparison.md').read_text()
  )


@pytest.mark.usefixtures('programs')
def test_steps_are_timed_once_when_all_is_trained(compare, tmp_path):
  rows = compare(seeds='1', timing_steps=2).rows
  assert all(0 < row.step_seconds < 60 for row in rows)
  path = tmp_path / 'runs' / 'pace.json'
  before = path.read_text()
  compare(seeds='1', timing_steps=2, attention_modules='none')
  assert path.read_text() == before
  cells = table(tmp_path / 'runs')[0]
  assert float(cells['step_ms']) == pytest.approx(
    1000 * rows[0].step_seconds, abs=1e-3
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'train_dir': None}, '--train_dir is required'),
    ({'max_number_of_steps': None}, '--max_number_of_steps is required'),
    ({'seed': 1}, r'--seed is of a single run.*--seeds=1,2,3'),
    ({'attention_module': 'se_block'}, r'--attention_modules, such as'),
    ({'attention_placement': 'class'}, r'--attention_modules, such as'),
    ({'seeds': '1,1'}, r'--seeds=1,1: give different whole numbers'),
    ({'seeds': '1;2'}, r'--seeds=1;2'),
    ({'seeds': ''}, r'--seeds='),
    ({'attention_modules': 'none;cbam'}, r"'cbam'.*cbam_block"),
    ({'attention_modules': 'se_block@clas'}, r"'clas'"),
    ({'attention_modules': ' ; '}, r'--attention_modules is empty'),
    ({'eval_split_name': 'tset'}, r"No split 'tset'"),
    ({'model_name': 'lnet'}, r"'lnet'.*lenet"),
  ],
)
def test_mistakes_are_named_before_anything_is_trained(
  compare, logged, options, message
):
  with pytest.raises(UserError, match=message):
    compare(**options)
  assert logged() == []


@pytest.mark.usefixtures('programs')
def test_another_comparison_needs_another_folder(compare, tmp_path):
  compare(seeds='1', attention_modules='none')
  for options in ({'learning_rate': 0.1}, {'batch_size': 64}):
    (name,) = options
    with pytest.raises(UserError, match=rf'begun with --{name}=.*another'):
      compare(**options)
  (tmp_path / 'runs' / 'comparison.json').write_text('{')
  with pytest.raises(UserError, match=r'comparison\.json is not what'):
    compare()
  (tmp_path / 'runs' / 'model.ckpt-3.index').touch()
  with pytest.raises(UserError, match='checkpoints of a single run'):
    compare()


@pytest.mark.parametrize(
  ('text', 'names'),
  [
    ('none', ['none']),
    (
      " ; none;cbam_block( ratio = 16 ); se_block(ratio=8)@block;",
      ['none', 'cbam_block(ratio=16)', 'se_block'],
    ),
    ('se_block@class;se_block', ['se_block@class', 'se_block']),
    ('cbam_block(ratio=4, kernel_size=3)@both',
     ['cbam_block(ratio=4, kernel_size=3)@both']),
  ],
)  # fmt: skip
def test_variants_have_one_spelling(text, names):
  found = comparison.parse_variants(text)
  assert [variant.name for variant in found] == names
  assert all(variant.folder.isprintable() for variant in found)
  assert not any(set(variant.folder) & set("()@'; ,/") for variant in found)


@pytest.mark.parametrize(
  'text', ['none;none', 'se_block;se_block(ratio=8)', 'se_block@block;se_block']
)
def test_the_same_twice_is_refused(text):
  with pytest.raises(UserError, match='twice'):
    comparison.parse_variants(text)
  with pytest.raises(UserError, match='no attention has no place'):
    comparison.parse_variants('none@class')


def rows(*accuracies) -> list[Row]:
  return [
    Row(f'kind_{n}', 1000, 2_000_000, 0.1, dict(enumerate(values)))
    for n, values in enumerate(accuracies)
  ]


def test_the_spread_is_the_samples_standard_deviation():
  (row,) = rows([0.1, 0.4, None, 0.25])
  assert row.mean == pytest.approx(0.25)
  assert row.deviation == pytest.approx(statistics.stdev([0.1, 0.4, 0.25]))
  assert comparison_table.lines([row])[2] == (
    '| `kind_0` | 1,000 | 2.00 M | 100.0 ms | 0.2500 ± 0.1500 (3 of 4 runs) |'
  )


@pytest.mark.parametrize(
  'accuracies',
  [[[None]], [[0.5]], [[0.5, 0.5], [None, 0.1]], [[0.1 * n] for n in range(9)]],
)
def test_whatever_is_there_is_drawn(accuracies, tmp_path):
  path = tmp_path / 'plot.png'
  comparison_plot.draw(rows(*accuracies), 'a title', path)
  with Image.open(path) as image:
    assert image.width == 900
