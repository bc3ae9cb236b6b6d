"""Imported weights: refusals before the work, job.json, the cache."""

import pkgutil
import shutil

import numpy as np
import pytest

from engine.config import imported, job_file, jobs
from engine.config.jobs import ImportJob
from errors import UserError
from weights import sources
from weights.convert import Converted


def converted(num_classes: int, **more) -> Converted:
  return Converted(
    source='model.h5',
    origin='keras:MobileNetV2',
    network='mobilenet_v2',
    num_classes=num_classes,
    image_size=96,
    preprocessing='inception',
    values={'w': np.ones(2, np.float32)},
    **more,
  )


@pytest.fixture
def source(monkeypatch):
  """Returns a function that sets what any source is converted to."""

  def set_result(result: Converted) -> None:
    monkeypatch.setattr(imported.convert, 'convert', lambda *_: result)
    monkeypatch.setattr(imported.proof, 'difference', lambda _: None)

  return set_result


def test_an_output_folder_in_use_is_refused_before_the_conversion(tmp_path):
  file = tmp_path / 'file'
  file.touch()
  job = ImportJob(weights='nothing.h5', output_dir=str(file))
  with pytest.raises(UserError, match=r'file is a file: choose another'):
    imported.import_weights(job)
  job = ImportJob(weights='nothing.h5', output_dir=str(tmp_path))
  with pytest.raises(UserError, match='is not empty: choose another'):
    imported.import_weights(job)


def test_a_checkpoint_of_a_run_is_refused(tmp_path):
  job_file.write(jobs.TrainJob(), {'num_classes': 1000}, tmp_path)
  (tmp_path / 'model.ckpt-7.index').touch()
  for ending in ('', '.index', '.meta', '.data-00000-of-00001'):
    job = ImportJob(
      weights=f'{tmp_path}/model.ckpt-7{ending}',
      output_dir=str(tmp_path / 'out'),
    )
    with pytest.raises(
      UserError, match='need not be imported: pass it by --ch'
    ):
      imported.import_weights(job)


@pytest.mark.parametrize('folder', ['.', '/', ''])
def test_a_folder_is_not_a_checkpoint_of_a_run(folder):
  imported._check_no_run(folder)


def test_a_network_s_name_stands_for_its_preprocessing():
  job = ImportJob(output_dir='out', preprocessing_name='resnet_v1_50')
  train_job, _ = imported._describe(job, converted(1000), None)
  assert train_job.preprocessing_name == 'vgg'


def test_an_unknown_preprocessing_is_refused_with_the_flags():
  with pytest.raises(UserError, match="Did you mean 'inception'"):
    ImportJob(preprocessing_name='inceptoin')


def test_class_names_come_back_from_job_json(tmp_path, source):
  source(converted(2, class_names=('crow', 'gull')))
  output = tmp_path / 'link'
  (tmp_path / 'folder').mkdir()
  output.symlink_to(tmp_path / 'folder')
  result = imported.import_weights(
    ImportJob(weights='model.h5', output_dir=str(output))
  )
  assert result.checkpoint == f'{output}/model.ckpt-0'
  recorded = job_file.read(output)
  assert recorded['class_names'] == ['crow', 'gull']
  assert recorded['num_classes'] == 2
  assert [path.name for path in tmp_path.glob('.*')] == []


@pytest.mark.parametrize(
  ('num_classes', 'given', 'name', 'labels_offset'),
  [
    (1000, None, 'imagenet', 1),
    (1001, None, 'imagenet', 0),
    (1000, 'birds', 'birds', 0),
    (19, None, 'unknown', 0),
    (10, 'digits', 'digits', 0),
  ],
)
def test_classes_tell_the_data_set(num_classes, given, name, labels_offset):
  job = ImportJob(weights='model.h5', output_dir='out', dataset_name=given)
  train_job, _ = imported._describe(job, converted(num_classes), None)
  assert (train_job.dataset_name, train_job.labels_offset) == (
    name,
    labels_offset,
  )


def test_a_known_data_set_of_other_classes_is_refused():
  job = ImportJob(output_dir='out', dataset_name='imagenet')
  with pytest.raises(
    UserError, match=r'imagenet has 1001 classes, model.h5 19'
  ):
    imported._describe(job, converted(19), None)


def test_a_source_is_imported_once_into_the_cache(tmp_path, monkeypatch):
  monkeypatch.setenv('SLIM_CACHE', str(tmp_path / 'cache'))
  archive = tmp_path / 'my~weights:1.tar.gz'
  archive.touch()
  jobs = []

  def import_weights(job):
    jobs.append(job)
    (tmp_path / 'cache' / 'converted').mkdir(exist_ok=True)
    imported.pathlib.Path(job.output_dir).mkdir()

  monkeypatch.setattr(imported, 'import_weights', import_weights)
  first = imported.checkpoint_path(str(archive), 'vgg_16')
  assert imported.checkpoint_path(str(archive), 'vgg_16') == first
  # The same content has the same name on each machine that trains.
  (tmp_path / 'other').mkdir()
  copy = shutil.copy(archive, tmp_path / 'other')
  assert imported.checkpoint_path(str(copy), 'vgg_16') == first
  assert [(job.weights, job.model_name) for job in jobs] == [
    (str(archive), 'vgg_16')
  ]
  assert imported.checkpoint_path('run') == 'run'
  (tmp_path / 'other' / 'config.json').write_text('{}')
  assert imported._cache_name(str(copy)) != imported._cache_name(str(archive))


@pytest.mark.parametrize(
  ('job', 'function', 'options'),
  [
    (jobs.EvalJob, 'engine.evaluation.evaluator:evaluate', {}),
    (
      jobs.VisualizeJob,
      'tools.visualization.visualize:visualize',
      {'images': 'photo.png'},
    ),
    (
      jobs.PredictJob,
      'tools.prediction.predict:predict',
      {'images': 'photo.png'},
    ),
    (
      jobs.ExportJob,
      'tools.export.export:export_model',
      {'output_dir': 'out', 'formats': 'saved_model'},
    ),
  ],
)
def test_every_program_imports_weights_before_it_seeks_a_checkpoint(
  tmp_path, monkeypatch, job, function, options
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('SLIM_CACHE', str(tmp_path))

  def import_weights(job):
    imported.pathlib.Path(job.output_dir).mkdir(parents=True)

  monkeypatch.setattr(imported, 'import_weights', import_weights)
  options = {'checkpoint_path': 'keras:MobileNetV2', **options}
  with pytest.raises(UserError, match=r'No checkpoint in .*/converted/keras_'):
    pkgutil.resolve_name(function)(job(**options), frozenset(options))


def test_a_cache_that_cannot_be_locked_is_used(tmp_path, monkeypatch):
  monkeypatch.setenv('SLIM_CACHE', str(tmp_path))
  (tmp_path / 'downloads' / '.lock').mkdir(parents=True)
  with sources.locked_folder('downloads') as folder:
    assert folder == tmp_path / 'downloads'


def test_a_folder_that_another_process_wrote_meanwhile_is_kept(
  tmp_path, source, monkeypatch
):
  source(converted(2))
  output = tmp_path / 'out'

  def write(*_, step):
    output.mkdir()
    (output / 'theirs').touch()
    return str(output)

  monkeypatch.setattr(imported.store, 'write', write)
  with pytest.raises(UserError, match='is not empty'):
    imported.import_weights(
      ImportJob(weights='model.h5', output_dir=str(output))
    )
  assert (output / 'theirs').exists()
  assert [path.name for path in tmp_path.iterdir()] == ['out']
