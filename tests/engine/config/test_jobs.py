import dataclasses
import json
import re

import pytest

from engine.config import job_file
from engine.config.jobs import (
  CompareJob,
  ConvertJob,
  EvalJob,
  EvalLoopJob,
  InspectJob,
  ReportJob,
  TrainJob,
  VisualizeJob,
)
from errors import UserError
from options import types_of

# contract/flags.md: name -> type and default, as TF-Slim's users know them.
TRAIN_FLAGS = {
  'master': (str, ''),
  'num_clones': (int, 1),
  'clone_on_cpu': (bool, False),
  'worker_replicas': (int, 1),
  'num_ps_tasks': (int, 0),
  'num_readers': (int, None),
  'num_preprocessing_threads': (int, None),
  'log_every_n_steps': (int, 10),
  'save_summaries_secs': (int, 600),
  'save_interval_secs': (int, 600),
  'task': (int, 0),
  'weight_decay': (float, 0.00004),
  'optimizer': (str, 'rmsprop'),
  'adadelta_rho': (float, 0.95),
  'adagrad_initial_accumulator_value': (float, 0.1),
  'adam_beta1': (float, 0.9),
  'adam_beta2': (float, 0.999),
  'opt_epsilon': (float, 1.0),
  'ftrl_learning_rate_power': (float, -0.5),
  'ftrl_initial_accumulator_value': (float, 0.1),
  'ftrl_l1': (float, 0.0),
  'ftrl_l2': (float, 0.0),
  'momentum': (float, 0.9),
  'rmsprop_momentum': (float, 0.9),
  'rmsprop_decay': (float, 0.9),
  'learning_rate_decay_type': (str, 'exponential'),
  'learning_rate': (float, 0.01),
  'end_learning_rate': (float, 0.0001),
  'label_smoothing': (float, 0.0),
  'learning_rate_decay_factor': (float, 0.94),
  'num_epochs_per_decay': (float, 2.0),
  'sync_replicas': (bool, False),
  'replicas_to_aggregate': (int, None),
  'moving_average_decay': (float, None),
  'dataset_name': (str, 'imagenet'),
  'dataset_split_name': (str, 'train'),
  'dataset_dir': (str, None),
  'labels_offset': (int, 0),
  'model_name': (str, 'inception_v3'),
  'preprocessing_name': (str, None),
  'batch_size': (int, 32),
  'train_image_size': (int, None),
  'max_number_of_steps': (int, None),
  'checkpoint_path': (str, None),
  'checkpoint_exclude_scopes': (str, None),
  'trainable_scopes': (str, None),
  'ignore_missing_vars': (bool, False),
  'attention_module': (str, None),
  'use_grayscale': (bool, False),
}
EVAL_FLAGS = {
  'batch_size': (int, 100),
  'max_num_batches': (int, None),
  'master': (str, ''),
  'eval_dir': (str, None),
  'num_preprocessing_threads': (int, None),
  'dataset_name': (str, 'imagenet'),
  'dataset_split_name': (str, None),
  'dataset_dir': (str, None),
  'labels_offset': (int, 0),
  'model_name': (str, 'inception_v3'),
  'preprocessing_name': (str, None),
  'moving_average_decay': (float, None),
  'eval_image_size': (int, None),
  'attention_module': (str, None),
  'use_grayscale': (bool, False),
}


@pytest.mark.parametrize(
  ('job_class', 'flags'),
  [
    (TrainJob, TRAIN_FLAGS),
    (EvalJob, EVAL_FLAGS),
    (EvalLoopJob, EVAL_FLAGS | {'eval_interval_secs': (int, 600)}),
  ],
)
def test_every_flag_of_the_original_keeps_name_type_and_default(
  job_class, flags
):
  types = types_of(job_class)
  defaults = {f.name: f.default for f in dataclasses.fields(job_class)}
  assert {n: (types.get(n), defaults.get(n)) for n in flags} == flags


@pytest.mark.parametrize('job_class', [TrainJob, EvalJob, EvalLoopJob])
def test_every_option_says_what_it_means(job_class):
  for field in dataclasses.fields(job_class):
    assert field.metadata['meaning'].endswith('.'), field.name


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'optimizer': 'momentom'}, "Unknown --optimizer 'momentom'.*'momentum'"),
    ({'learning_rate_decay_type': 'x'}, 'Known: exponential, fixed, poly'),
    ({'batch_size': 0}, '--batch_size=0: must be at least 1'),
    ({'label_smoothing': 1.5}, 'must be at most 1'),
    ({'gradient_clip_norm': 0.0}, 'must be more than 0'),
    ({'learning_rate': float('nan')}, 'must be a finite number'),
    ({'best_metric': 'acc'}, 'Accuracy, Recall_5, loss'),
    (
      {'preprocessing_name': 'imagenet(crop=0.9)'},
      "imagenet has no option 'crop'",
    ),
    ({'mixed_precision': 'fp16'}, 'float32, bfloat16, float16'),
  ],
)
def test_a_job_refuses_values_when_it_is_made(options, message):
  with pytest.raises(UserError, match=message):
    TrainJob(**options)


@pytest.mark.parametrize(
  ('options', 'preprocessing'),
  [
    ({}, 'inception'),
    ({'model_name': 'resnet_v1b_50'}, 'imagenet'),
    ({'preprocessing_name': 'resnet_v1_50'}, 'vgg'),
    ({'preprocessing_name': 'imagenet()', 'model_name': 'lenet'}, 'imagenet'),
    (
      {'preprocessing_name': 'imagenet(crop_fraction=1)'},
      'imagenet(crop_fraction=1)',
    ),
  ],
)
@pytest.mark.parametrize('job_class', [TrainJob, InspectJob])
def test_the_preprocessing_of_a_job(job_class, options, preprocessing):
  assert job_class(**options).preprocessing == preprocessing


def test_a_job_is_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    TrainJob().batch_size = 3


def test_job_json_holds_every_option_and_the_versions(tmp_path):
  job = TrainJob(train_dir=str(tmp_path), model_name='lenet', batch_size=3)
  job_file.write(job, {'num_classes': 10})
  content = job_file.read(tmp_path)
  assert TrainJob(**content['options']) == job
  assert content['num_classes'] == 10
  assert re.match(r'2\.\d+', content['versions']['tensorflow'])


def test_a_folder_without_a_job_has_none(tmp_path):
  assert job_file.read(tmp_path) is None


def job_with(**options):
  """The text of a job.json that is whole but for these options."""
  whole = {'model_name': 'lenet', 'attention_module': None, 'dataset_name': 'x'}
  return json.dumps({'options': whole | options, 'num_classes': 10})


@pytest.mark.parametrize(
  ('text', 'problem'),
  [
    ('{', 'is not JSON'),
    ('[]', r'has \[\] for its content'),
    ('{"options": {}}', 'lacks options.model_name'),
    (
      job_with(batch_size='many'),
      'has "many" for options.batch_size, not a wh',
    ),
    (job_with(batch_size=None), 'has null for options.batch_size'),
    (job_with(learning_rate=float('inf')), 'has Infinity for options.learning'),
    (job_with(cache=1), 'has 1 for options.cache, not true or false'),
    (job_with(dataset_dir='a\0b'), 'has ".*" for options.dataset_dir, not va'),
    (job_with(seed=10**400), r'has 10+\.\.\. for options.seed'),
  ],
)
def test_a_damaged_job_json_is_named(tmp_path, text, problem):
  (tmp_path / 'job.json').write_text(text)
  with pytest.raises(UserError, match=rf'job\.json {problem}.*delete it'):
    job_file.read(tmp_path)


@pytest.mark.parametrize(
  ('name', 'value'),
  [('num_classes', 10**13), ('num_classes', 0), ('channels', 2)],
)
def test_a_number_that_no_network_has_is_named(tmp_path, name, value):
  content = json.loads(job_with()) | {name: value}
  (tmp_path / 'job.json').write_text(json.dumps(content))
  with pytest.raises(UserError, match=f'has {value} for {name}. Repair it'):
    job_file.read(tmp_path)


def test_a_folder_in_the_place_of_job_json_is_named(tmp_path):
  (tmp_path / 'job.json').mkdir()
  with pytest.raises(UserError, match=r'job\.json is a folder\. Repair it'):
    job_file.read(tmp_path)


@pytest.mark.parametrize(
  ('job_class', 'names'),
  [
    (TrainJob, {'train_dir', 'dataset_dir', 'checkpoint_path'}),
    (
      EvalLoopJob,
      {'checkpoint_path', 'eval_dir', 'dataset_dir', 'predictions_file'},
    ),
    (
      VisualizeJob,
      {'checkpoint_path', 'dataset_dir', 'output_dir', 'output_file'},
    ),
    (CompareJob, {'train_dir', 'dataset_dir', 'checkpoint_path'}),
    (ConvertJob, {'dataset_dir', 'source_dir'}),
    (InspectJob, {'dataset_dir', 'output'}),
    (ReportJob, {'train_dir', 'dataset_dir', 'output'}),
  ],
)
def test_the_home_folder_is_expanded_in_every_path(
  job_class, names, monkeypatch
):
  monkeypatch.setenv('HOME', '/home/me')
  job = job_class(**dict.fromkeys(names, '~/a'))
  assert {getattr(job, name) for name in names} == {'/home/me/a'}
  named = {
    field.name
    for field in dataclasses.fields(job_class)
    if re.search(r'_(dir|file|path)$|^output$', field.name)
  }
  assert named == names
