"""report.html: its numbers are the evaluation's, and nothing breaks it."""

import dataclasses
import html.parser
import json
import pathlib
import re
import shlex
import types

import numpy as np
import pytest

from engine.config.jobs import ReportJob
from engine.evaluation import calibration
from engine.run_dir import progress_csv, run_status
from errors import UserError
from tools.report import pictures
from tools.report import report as report_lib
from tools.report import run as run_lib
from tools.visualization.images import SourceImage

VOID = {'meta', 'link', 'line', 'path', 'circle', 'img', 'br'}


class Page(html.parser.HTMLParser):
  """The cells of each table by its id, and all tags that are not closed."""

  def __init__(self, text):
    super().__init__()
    self.tables, self.open = {}, []
    self._rows = self._cell = None
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    if tag not in VOID:
      self.open.append(tag)
    if tag == 'table':
      self._rows = self.tables.setdefault(dict(attributes).get('id'), [])
    elif tag == 'tr':
      self._rows.append([])
    elif tag in ('td', 'th'):
      self._cell = ''

  def handle_startendtag(self, tag, attributes):
    assert tag in VOID

  def handle_endtag(self, tag):
    assert self.open.pop() == tag
    if tag in ('td', 'th'):
      self._rows[-1].append(' '.join(self._cell.split()))
      self._cell = None

  def handle_data(self, data):
    if self._cell is not None:
      self._cell += data


@pytest.fixture
def report(tmp_path):
  """report(*folders, **options) -> the report, and its text."""

  def write(*folders, **options):
    options = {'output': str(tmp_path / 'out.html'), **options}
    job = ReportJob(train_dir=','.join(map(str, folders)), **options)
    written = report_lib.report(job)
    with open(written.path, encoding='utf-8') as file:
      return written, file.read()

  return write


def test_the_tables_have_the_numbers_of_the_evaluation(
  make_run, evaluate, report
):
  folder = make_run()
  result = evaluate(folder)
  _, text = report(folder)
  page = Page(text)
  assert page.open == []
  rows = page.tables['run-1-by-class'][1:]
  assert [row[0] for row in rows] == list(result.class_names)
  for row, scores in zip(rows, result.per_class, strict=True):
    keys = ('precision', 'recall', 'f1', 'auroc')
    assert [float(cell) for cell in row[3:]] == pytest.approx(
      [scores[key] for key in keys], abs=5e-5
    )
    assert int(row[2]) == scores['count']
  cells = [row[1:] for row in page.tables['run-1-matrix'][1:]]
  matrix = [[int(cell.replace('·', '0')) for cell in row] for row in cells]
  np.testing.assert_array_equal(matrix, result.confusion.matrix())
  pairs = page.tables['run-1-pairs'][1:]
  counts = [int(row[2]) for row in pairs]
  assert counts == sorted(counts, reverse=True)
  assert sum(counts) == result.count - result.confusion.hits().sum()
  assert f'data-metric="Accuracy">{result.metrics["Accuracy"]:.4f}' in text
  error = calibration.expected_calibration_error(result.reliability)
  assert f'Expected calibration error {error:.4f}' in text


def test_the_most_confident_mistakes_come_first(make_run, evaluate, report):
  folder = make_run()
  result = evaluate(folder)
  _, text = report(folder, num_mistakes=5)
  shown = re.findall(r'</strong> \((\d\.\d{4})\), truly', text)
  expected = [f'{mistake.confidence:.4f}' for mistake in result.mistakes[:5]]
  assert shown == expected == sorted(expected, reverse=True)


def test_names_are_escaped_and_nothing_is_loaded(make_run, evaluate, report):
  folder = make_run(checkpoint_path='</code><script>alert(1)</script>')
  evaluate(folder)
  _, text = report(folder)
  assert '&lt;b&gt;rose&lt;/b&gt;' in text
  assert '<b>' not in text
  assert text.count('<script>') == 1
  assert not re.search(r'(?:src|href)="(?!data:|#)', text)
  assert not re.search(r'@import|url\(', text)


def test_a_run_without_an_evaluation_says_what_makes_one(
  make_run, report, capsys
):
  folder = make_run()
  written, text = report(folder)
  command = f'python eval_image_classifier.py --checkpoint_path={folder}'
  assert command in written.notes[0]
  assert command in capsys.readouterr().err
  assert command in text
  assert 'Learning rate' in text
  assert 'run-1-classes' not in text


def test_the_command_of_a_run_starts_it_again(make_run):
  folder = make_run(
    'my run',
    attention_module='cbam_block(ratio=8)',
    num_epochs=2.0,
    max_number_of_steps=20,
    eval_every_n_steps=5,
  )
  program, name, *arguments = shlex.split(run_lib.read(folder).command())
  assert (program, name) == ('python', 'train_image_classifier.py')
  assert sorted(arguments) == [
    '--attention_module=cbam_block(ratio=8)',
    '--dataset_name=digits',
    '--eval_every_n_steps=5',
    '--model_name=lenet',
    '--num_epochs=2.0',
    f'--train_dir={folder}',
  ]


def test_the_command_has_the_values_of_a_recipe_in_its_place(make_run):
  run = run_lib.read(make_run(recipe='scratch', label_smoothing=0.0))
  assert '--recipe' not in run.command()


def test_the_time_of_a_run_has_no_pauses(make_run):
  folder = make_run()
  for step, speed in ((10, None), (20, 64.0), (40, 32.0)):
    progress_csv.append(
      folder / 'later.csv', step, 1.0, 0.1, images_per_second=speed
    )
  (folder / 'later.csv').replace(folder / progress_csv.FILE)
  # 10 steps of one second and 20 of two; the first ten as long as the mean.
  seconds = run_lib.read(folder).seconds
  assert seconds == pytest.approx(50 * 40 / 30)


def test_runs_of_equal_names_are_told_apart(make_run, report, tmp_path):
  for name in ('birds', 'cats'):
    (tmp_path / name).mkdir()
  runs = make_run('birds/run'), make_run('cats/run')
  _, text = report(*runs)
  rows = Page(text).tables['comparison-table']
  assert rows[0] == ['', *map(str, runs)]


def test_an_evaluation_without_its_checkpoint_has_no_pictures(
  make_run, evaluate, report
):
  folder = make_run()
  evaluate(folder)
  written, text = report(folder)
  assert re.search(r'checkpoint of step 30, .* is deleted', written.notes[0])
  assert 'truly' in text
  assert '<img' not in text


def test_results_of_an_earlier_version_are_reported(make_run, evaluate, report):
  folder = make_run()
  evaluate(folder)
  path = folder / 'eval' / 'results.json'
  content = json.loads(path.read_text())
  del content['reliability'], content['mistakes']
  for row in content['per_class']:
    del row['auroc']
  path.write_text(json.dumps(content))
  (folder / 'eval' / 'confusion_matrix.csv').unlink()
  written, text = report(folder)
  assert 'earlier version' in written.notes[0]
  assert 'There is no confusion matrix' in text


def test_a_network_that_diverged_is_reported(make_run, evaluate, report):
  folder = make_run()
  evaluate(folder, bad=2)
  written, text = report(folder)
  assert 'reliability diagram' in text
  assert not re.search(r'y\d="nan"', text)
  assert len(written.notes) == 1  # Of the checkpoint, which is deleted.


@pytest.mark.slow
def test_training_ends_with_a_report_that_shows_its_mistakes(train_job):
  """And is evaluated for it; the same command reports again."""
  from tools.report import after_training

  job = train_job(report=True, attention_module='cbam_block')
  folder = pathlib.Path(job.train_dir)
  after_training.train(job)
  text = (folder / 'report.html').read_text()
  mistakes = json.loads((folder / 'eval' / 'results.json').read_text())
  wrong = len(mistakes['mistakes'])
  assert 0 < wrong <= 23
  # The image, Grad-CAM, and a gate of each map size.
  assert text.count('<img') == 4 * min(12, wrong)
  assert 'Grad-CAM and gates: from dark blue' in text
  assert Page(text).open == []
  (folder / 'report.html').unlink()
  evaluated = (folder / 'eval' / 'results.csv').read_text()
  after_training.train(job)
  assert (folder / 'report.html').exists()
  assert (folder / 'eval' / 'results.csv').read_text() == evaluated


@pytest.mark.slow
def test_records_that_are_not_there_have_no_pictures(train_job, digits, report):
  from tools.report import after_training

  job = train_job(report=True)
  after_training.train(job)
  written, text = report(job.train_dir, dataset_dir='/nowhere')
  assert re.search('no pictures of mistakes: .*/nowhere', written.notes[0])
  assert '<img' not in text
  written, text = report(job.train_dir, dataset_dir=str(digits))
  assert written.notes == []
  assert '<img' in text
  assert 'Grad-CAM: from dark blue' in text


def test_pictures_of_another_data_set_need_its_folder():
  run = types.SimpleNamespace(
    options={'dataset_name': 'fish'},
    results=types.SimpleNamespace(
      content={'split': 'test', 'dataset': 'birds'}
    ),
  )
  with pytest.raises(
    UserError, match=r'on birds, and not on fish .*--dataset_d'
  ):
    pictures._job(run, 'model.ckpt-3', None)
  job, explicit = pictures._job(run, 'model.ckpt-3', 'records')
  assert (job.dataset_name, job.dataset_dir) == ('birds', 'records')
  assert {'dataset_name', 'dataset_dir'} <= explicit


@pytest.mark.parametrize('other', [None, {'label': 2}, {'name': 'other.jpg'}])
def test_records_that_were_not_evaluated_have_no_pictures(other):
  mistake = {'index': 4, 'filename': 'photos/a.jpg', 'label': 1}
  source = SourceImage('a.jpg', np.zeros([2, 2, 3]), 1)
  pictures._check_same({4: source}, [mistake], 'data')
  sources = {4: dataclasses.replace(source, **other)} if other else {}
  with pytest.raises(UserError, match=r'Record 4 in data is not the one'):
    pictures._check_same(sources, [mistake], 'data')


@pytest.mark.parametrize(
  ('folder', 'message'),
  [
    (None, '--train_dir is required'),
    (' , ', '--train_dir is required'),
    ('nowhere', 'nowhere is not a folder: name the --train_dir'),
    ('.', 'neither job.json nor progress.csv: name'),
  ],
)
def test_no_run_is_refused(tmp_path, monkeypatch, folder, message):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match=message):
    report_lib.report(ReportJob(train_dir=folder))
  assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_folder_is_refused(make_run, tmp_path):
  job = ReportJob(train_dir=str(make_run()), output=str(tmp_path))
  with pytest.raises(UserError, match='is a folder: name a file'):
    report_lib.report(job)


def test_several_runs_stand_side_by_side(make_run, evaluate, report):
  one, two = make_run('one'), make_run('two', learning_rate=0.25)
  results = [evaluate(one, seed=1), evaluate(two, seed=2)]
  _, text = report(one, two)
  page = Page(text)
  assert page.open == []
  rows = page.tables['comparison-table']
  assert rows[0] == ['', 'one', 'two']
  lines = {row[0]: row[1:] for row in rows}
  assert lines['≠ learning rate'] == ['0.01', '0.25']
  assert lines['network'] == ['lenet', 'lenet']
  scores = [result.metrics['Accuracy'] for result in results]
  best = scores.index(max(scores))
  assert [' ★' in cell for cell in lines['≠ accuracy']] == [
    index == best for index in range(2)
  ]
  assert 'cannot be compared' not in text


def test_marks_are_explained_where_there_are_any(make_run, evaluate, report):
  one, two = make_run('one'), make_run('two', learning_rate=0.25)
  _, text = report(one, two)
  assert '<caption>Lines marked ≠ differ.</caption>' in text
  _, text = report(one, one)
  assert '≠' not in text
  evaluate(one, seed=1)
  evaluate(two, seed=2)
  _, text = report(one, two)
  assert '<caption>Lines marked ≠ differ; ★ is the best.</caption>' in text


def test_several_runs_do_not_replace_the_report_of_the_first(make_run, report):
  one, two = make_run('one'), make_run('two')
  report(one, output=None)
  single = (one / 'report.html').read_text()
  written, _ = report(one, two, output=None)
  assert written.path == str(one / 'report_of_runs.html')
  assert (one / 'report.html').read_text() == single


@pytest.mark.parametrize(
  ('reason', 'words'),
  [
    ('max_number_of_steps', 'its last step'),
    ('early_stop', 'an early stop, as the evaluations got no better'),
    ('non_finite', 'divergence: a loss or weight was not finite'),
  ],
)
def test_why_a_run_ended_is_told_in_words(make_run, report, reason, words):
  folder = make_run()
  run_status.write_finished(str(folder), reason, 30)
  _, text = report(folder)
  assert ['ended by', words] in Page(text).tables['run-1-settings']


def test_a_damaged_job_is_refused_without_advice_on_other_flags(
  make_run, report
):
  folder = make_run()
  (folder / 'job.json').write_text('{')
  with pytest.raises(UserError, match='the page then lacks how'):
    report(folder)
  (folder / 'job.json').unlink()
  _, text = report(folder)
  assert ['network', 'unknown'] in Page(text).tables['run-1-settings']


def test_runs_on_other_records_are_not_compared(make_run, evaluate, report):
  one, two = make_run('one'), make_run('two')
  evaluate(one, seed=1)
  evaluate(two, seed=2, dataset='birds')
  _, text = report(one, two)
  assert 'birds test (60 records); fish test (60 records)' in text
  assert '★</td>' not in text


def test_many_classes_stay_below_the_limit(make_run, evaluate, report):
  folder = make_run()
  names = [f'class {number} of many with a long name' for number in range(1500)]
  evaluate(folder, names, count=4000)
  _, text = report(folder)
  assert len(text.encode()) < report_lib.MAX_BYTES
  page = Page(text)
  assert 'run-1-matrix' not in page.tables
  assert len(page.tables['run-1-by-class']) == 1001
  assert 'rarer pairs are left out' in text


def test_large_pictures_are_left_out_above_the_limit(
  make_run, evaluate, report, monkeypatch
):
  folder = make_run()
  result = evaluate(folder)
  picture = report_lib.Picture('image', 'data:image/jpeg;base64,' + 'A' * 10**6)
  monkeypatch.setattr(
    report_lib.pictures,
    'of_mistakes',
    lambda *_: {mistake.index: [picture] for mistake in result.mistakes},
  )
  _, text = report(folder)
  assert len(text.encode()) <= report_lib.MAX_BYTES
  assert text.count('<img') == 2
  assert 'Pictures of 2 of them' in text


def test_a_failure_leaves_the_earlier_page(make_run, report, monkeypatch):
  folder = make_run()
  written, before = report(folder)
  monkeypatch.setattr(
    report_lib.files.pathlib.Path, 'replace', lambda *_: 1 / 0
  )
  with pytest.raises(ZeroDivisionError):
    report(folder, num_mistakes=3)
  with open(written.path) as file:
    assert file.read() == before


def test_the_newest_evaluation_counts(make_run, evaluate, tmp_path):
  folder = make_run()
  evaluate(folder, step=30)
  other = make_run('other')
  evaluate(other, step=90)
  (folder / 'evaluations.json').write_text(json.dumps([str(other / 'eval')]))
  found = run_lib.newest_results(folder)
  assert found.content['global_step'] == 90
  assert found.folder == other / 'eval'
