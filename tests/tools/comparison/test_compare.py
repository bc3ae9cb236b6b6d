"""compare_attention.py: its runs, their flags, and the results it writes."""

import csv

import pytest

from engine.config.jobs import CompareJob
from errors import UserError
from tools.comparison import compare as compare_lib


def table(folder):
  with (folder / 'comparison.csv').open() as file:
    return list(csv.DictReader(file))


def test_runs_differ_in_attention_and_seed_alone(compare, logged, tmp_path):
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


def test_resuming_repeats_no_run_and_may_add_some(
  compare, logged, tmp_path, digits
):
  compare(seeds='1')
  assert len(logged()) == 4
  # The folder is enough to resume.
  job = CompareJob(train_dir=str(tmp_path / 'runs'))
  compare_lib.compare(job, {'train_dir'})
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


def test_a_failed_run_stops_the_comparison_and_results_stay(
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


def test_a_diverged_run_counts_as_such(compare, logged, programs, tmp_path):
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
def test_steps_are_timed_once_after_all_runs(compare, tmp_path):
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


def test_variants_get_the_time_of_the_first_in_steps_of_their_own(
  compare, logged, monkeypatch, tmp_path
):
  seconds = {'none': 0.1, 'se_block(ratio=4)@class': 0.125}
  monkeypatch.setattr(
    compare_lib.step_timing, 'measure', lambda *_, **__: {**seconds}
  )
  options = {
    'max_number_of_steps': None, 'num_epochs': 50, 'batch_size': 60,
    'timing_steps': 1,
  }  # fmt: skip
  compare(**options)
  steps = (
    compare_lib.compare(
      CompareJob(train_dir=str(tmp_path / 'runs'), equal_time=True),
      {'train_dir', 'equal_time'},
    )
    .rows[0]
    .steps
  )
  calls = [f for p, f in logged() if p == 'train_image_classifier.py']
  assert [f.get('num_epochs') for f in calls] == ['50.0'] * 4 + [None] * 2
  assert [f.get('max_number_of_steps') for f in calls] == [None] * 4 + [
    str(round(0.8 * steps))
  ] * 2
  assert [f['seed'] for f in calls[4:]] == ['1', '2']
  assert len({f['train_dir'] for f in calls}) == 6
  *_, row = table(tmp_path / 'runs')
  assert row['attention'] == 'se_block(ratio=4)@class, equal time'
  assert (row['steps'], row['step_ms']) == (str(round(0.8 * steps)), '125.000')
  assert row['runs'] == '2'
  compare_lib.compare(
    CompareJob(train_dir=str(tmp_path / 'runs')), {'train_dir'}
  )
  assert logged() == []
  assert len(table(tmp_path / 'runs')) == 3
  # Other times make other runs.
  seconds['se_block(ratio=4)@class'] = 0.2
  compare_lib.compare(
    CompareJob(train_dir=str(tmp_path / 'runs'), timing_steps=2),
    {'train_dir', 'timing_steps'},
  )
  assert [
    f['max_number_of_steps']
    for p, f in logged()
    if p == 'train_image_classifier.py'
  ] == [str(round(0.5 * steps))] * 2
  text = (tmp_path / 'runs' / 'comparison.md').read_text()
  assert 'the steps take as long as those of none' in text


def test_a_recipe_is_given_again_to_resume(compare, programs, tmp_path):
  del programs
  compare(recipe='scratch')
  job = CompareJob(train_dir=str(tmp_path / 'runs'))
  with pytest.raises(UserError, match=r'--recipe=scratch.*set it again'):
    compare_lib.compare(job, {'train_dir'})


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'train_dir': None}, '--train_dir is required'),
    ({'max_number_of_steps': None}, '--num_epochs is required'),
    ({'seed': 1}, r'--seed applies to a single run.*--seeds=1,2,3'),
    (
      {'attention_module': 'se_block'},
      r'use --attention_modules instead, such as',
    ),
    (
      {'attention_placement': 'class'},
      r'use --attention_modules instead, such as',
    ),
    ({'equal_time': True}, r'set --timing_steps=20'),
    (
      {'equal_time': True, 'timing_steps': 1, 'attention_modules': 'none'},
      r'name two or more',
    ),
    (
      {
        'equal_time': True,
        'timing_steps': 1,
        'early_stop_patience': 2,
        'eval_every_n_steps': 10,
      },
      r'--early_stop_patience=2 ends runs at any step',
    ),
    ({'seeds': '1,1'}, r'--seeds=1,1: must be different integers'),
    ({'seeds': '1;2'}, r'--seeds=1;2'),
    ({'seeds': ''}, r'--seeds='),
    ({'attention_modules': 'none;cbam'}, r"'cbam'.*cbam_block"),
    ({'attention_modules': 'se_block@clas'}, r"'clas'"),
    ({'attention_modules': ' ; '}, r'--attention_modules is empty'),
    ({'eval_split_name': 'tset'}, r"No split 'tset'"),
    ({'model_name': 'lnet'}, r"'lnet'.*lenet"),
  ],
)
def test_wrong_options_are_refused_before_training(
  compare, logged, options, message
):
  with pytest.raises(UserError, match=message):
    compare(**options)
  assert logged() == []


def test_the_programs_are_those_of_the_checkout():
  for program in ('train_image_classifier.py', 'eval_image_classifier.py'):
    assert (compare_lib._PROGRAMS / program).is_file()
