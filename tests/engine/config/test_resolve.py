"""Which value wins: a flag, the checkpoint's job, or the default."""

import contextlib
import dataclasses
import json
import os
import re

import numpy as np
import pytest

from engine.config import job_file, precedence, resolve
from engine.config.jobs import EvalJob, TrainJob
from errors import UserError
from tf_compat import tf


@pytest.fixture
def evaluation(digits, tmp_path):
  """evaluation(recorded, **given) -> the setup, by a job.json beside it."""

  def run(recorded=None, num_classes=10, **given):
    if recorded is not None:
      defaults = {
        'train_dir': str(tmp_path),
        'dataset_name': 'digits',
        'dataset_dir': str(digits),
        'model_name': 'lenet',
        'preprocessing_name': 'lenet',
        'train_image_size': 28,
      }
      job_file.write(
        TrainJob(**defaults | recorded), {'num_classes': num_classes}
      )
    options = {'checkpoint_path': str(tmp_path), **given}
    return resolve.evaluation(EvalJob(**options), frozenset(options))

  return run


def test_what_is_not_given_comes_from_the_job(evaluation, capsys):
  setup = evaluation(
    {
      'attention_module': 'se_block(ratio=4)',
      'moving_average_decay': 0.99,
      'train_image_size': 40,
      'preprocessing_name': 'cifarnet',
      'padding': 'symmetric',
    }
  )
  job = setup.job
  assert (job.model_name, job.attention_module) == (
    'lenet',
    'se_block(ratio=4)',
  )
  assert (job.moving_average_decay, setup.image_size) == (0.99, 40)
  assert (job.preprocessing_name, job.padding) == ('cifarnet', 'symmetric')
  assert setup.dataset.split == job.dataset_split_name == 'test'
  assert '--eval_image_size=40' in capsys.readouterr().err


def test_a_flag_wins_and_is_printed(evaluation, capsys):
  setup = evaluation(
    {'moving_average_decay': 0.99}, eval_image_size=32, moving_average_decay=0.0
  )
  assert (setup.image_size, setup.job.moving_average_decay) == (32, 0.0)
  stderr = capsys.readouterr().err
  assert '--eval_image_size=32 instead of 28' in stderr
  assert '--moving_average_decay=0.0 instead of 0.99' in stderr


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'model_name': 'cifarnet'}, 'model_name=cifarnet contradicts.*=lenet'),
    (
      {'attention_module': 'cbam_block'},
      'attention_module=cbam_block contradicts.*=None',
    ),
    ({'padding': 'symmetric'}, 'padding=symmetric contradicts.*padding=same'),
    ({'labels_offset': 1}, 'trained on 10 classes, digits has 9 after'),
  ],
)
def test_a_flag_that_contradicts_the_job_is_refused(evaluation, given, message):
  with pytest.raises(UserError, match=message):
    evaluation({}, **given)


def test_two_spellings_of_one_attention_do_not_contradict(evaluation):
  setup = evaluation(
    {'attention_module': 'cbam_block'},
    attention_module='cbam_block(ratio=8, kernel_size=7)',
  )
  assert setup.job.attention_module == 'cbam_block'


def test_another_data_set_needs_its_own_folder(evaluation):
  with pytest.raises(UserError, match='--dataset_dir is required'):
    evaluation({}, dataset_name='mnist')


def test_a_folder_of_another_machine_in_job_json_is_named(
  evaluation, digits, train_job, tmp_path
):
  recorded = {'dataset_name': 'birds', 'dataset_dir': '/theirs/birds'}
  message = (
    r'job\.json names --dataset_dir=/theirs/birds, which is not on this machine '
    r'.*: set --dataset_dir to the folder of birds here'
  )
  with pytest.raises(UserError, match=message):
    evaluation(recorded)
  given = {'dataset_name': 'digits', 'dataset_dir': str(digits)}
  assert evaluation(recorded, **given).dataset.name == 'digits'
  with pytest.raises(UserError, match='There is no folder /mine'):
    evaluation(recorded, dataset_dir='/mine')


@pytest.mark.slow
def test_a_resumed_run_of_another_machine_is_told_which_flag_to_set(
  train, train_job, tmp_path
):
  from engine.training import loop

  train(max_number_of_steps=1)
  path = tmp_path / 'train' / 'job.json'
  content = json.loads(path.read_text())
  content['options']['dataset_dir'] = '/theirs/digits'
  path.write_text(json.dumps(content))
  job = TrainJob(train_dir=str(tmp_path / 'train'), max_number_of_steps=2)
  with pytest.raises(
    UserError, match=r'train/job\.json names --dataset_dir=/the'
  ):
    loop.train(job, {'train_dir', 'max_number_of_steps'})


def test_a_value_that_no_flag_takes_is_named_with_its_job_json(
  evaluation, tmp_path
):
  evaluation({})
  path = tmp_path / 'job.json'
  content = json.loads(path.read_text())
  content['options']['preprocessing_name'] = 'nonsense'
  path.write_text(json.dumps(content))
  with pytest.raises(
    UserError, match=r"^In .*job\.json: Unknown preprocessing 'nonsense'"
  ):
    evaluation()


def test_without_a_job_the_flags_and_the_network_decide(evaluation, digits):
  setup = evaluation(
    dataset_name='digits', dataset_dir=str(digits), model_name='cifarnet'
  )
  assert (setup.job.preprocessing_name, setup.image_size) == ('cifarnet', 32)
  assert setup.job.eval_dir.endswith('/eval')


def test_a_networks_name_names_its_preprocessing(evaluation, digits):
  setup = evaluation({}, preprocessing_name='resnet_v1_50')
  assert setup.job.preprocessing_name == 'vgg'


def test_a_preprocessing_keeps_its_options(evaluation):
  """job.json has the shortest spelling."""
  text = (
    "imagenet(interpolation='bicubic', std=[0.5, 0.5, 0.5], mean=(0, 0, 0))"
  )
  setup = evaluation({'preprocessing_name': text})
  assert setup.job.preprocessing_name == setup.job.preprocessing
  assert setup.job.preprocessing == (
    'imagenet(mean=(0.0, 0.0, 0.0), std=(0.5, 0.5, 0.5), '
    "interpolation='bicubic')"
  )


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'preprocessing_name': 'vggg'}, "Unknown preprocessing 'vggg'.*'vgg'"),
    (
      {'model_name': 'lenett'},
      "Unknown network 'lenett'. Did you mean 'lenet'",
    ),
    ({'attention_module': 'cbam'}, "Unknown attention module 'cbam'"),
    ({'attention_module': 'se_block(size=3)'}, "no option 'size'"),
    ({'dataset_name': 'digit'}, "contains the data set 'digits', not 'digit'"),
    ({'dataset_split_name': 'validation'}, "there is 'test' and 'train'"),
    ({'eval_image_size': 3}, '--eval_image_size=3 is too small for lenet'),
    ({'labels_offset': 9}, 'leaves 1 of the 10 classes'),
  ],
)
def test_wrong_names_are_refused_before_any_work(
  evaluation, digits, given, message
):
  options = {
    'dataset_name': 'digits',
    'dataset_dir': str(digits),
    'model_name': 'lenet',
  }
  with pytest.raises(UserError, match=message):
    evaluation(**options | given)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'worker_replicas': 2}, 'worker_replicas=2, but the cluster has 1'),
    ({'sync_replicas': True}, 'are for parameter servers'),
    ({'replicas_to_aggregate': 2}, 'workers always step together'),
    ({'worker_hosts': 'a:1,b:1', 'replicas_to_aggregate': 1}, 'are for param'),
    ({'worker_hosts': 'a:1', 'ps_hosts': 'b:1', 'num_clones': 2}, 'num_clones'),
  ],
)
def test_processes_that_cannot_train_together_are_refused(
  train_job, options, message
):
  with pytest.raises(UserError, match=message):
    resolve.training(train_job(**options), {*options})


def test_a_train_dir_that_cannot_be_written_is_refused(train_job, tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match=r'Cannot write to .*file/train'):
    resolve.training(train_job(train_dir=str(tmp_path / 'file' / 'train')), ())


@pytest.mark.parametrize('name', ['train_dir', 'dataset_dir'])
def test_a_path_that_is_not_utf8_is_refused(train_job, tmp_path, name):
  path = str(tmp_path / os.fsdecode(b'caf\xe9'))
  with pytest.raises(UserError, match=f'--{name}=.*only paths in UTF-8'):
    resolve.training(train_job(**{name: path}), ())
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['run[1]', 'run?', 'run*', 'run\\1'])
def test_a_path_that_a_server_would_read_as_a_pattern_is_refused(
  train_job, tmp_path, name
):
  servers = {'worker_hosts': 'a:1', 'ps_hosts': 'b:1'}
  path = str(tmp_path / name)
  with pytest.raises(UserError, match=r'--train_dir=.*as a pattern: rename'):
    resolve.training(train_job(train_dir=path, **servers), ())
  with pytest.raises(UserError, match=r'--checkpoint_path=.*as a pattern'):
    resolve.training(train_job(checkpoint_path=path, **servers), ())
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['eval_dir', 'predictions_file'])
def test_results_that_cannot_be_written_are_refused_before_evaluation(
  evaluation, tmp_path, name
):
  (tmp_path / 'file').touch()
  before = sorted(tmp_path.rglob('*'))
  path = str(tmp_path / 'file' / 'folder' / 'result.csv')
  with pytest.raises(
    UserError, match=f'Not a directory. Choose another --{name}'
  ):
    evaluation({}, **{name: path})
  assert sorted(tmp_path.rglob('*')) == sorted([*before, tmp_path / 'job.json'])


def test_gray_images_follow_the_network_and_the_flag(train_job):
  channels = {
    name: resolve.training(train_job(**options), ()).channels
    for name, options in {
      'lenet': {},
      'resnet': {'model_name': 'resnet_v1_50'},
      'gray': {'model_name': 'resnet_v1_50', 'use_grayscale': True},
    }.items()
  }
  assert channels == {'lenet': 1, 'resnet': 3, 'gray': 1}


@pytest.mark.slow
@pytest.mark.parametrize(
  'option',
  [f for f in dataclasses.fields(TrainJob) if f.metadata['structure']],
  ids=lambda field: field.name,
)
def test_resuming_refuses_what_alters_variables(train, option, tmp_path):
  placed = option.name == 'attention_placement'
  train(max_number_of_steps=1, attention_module='se_block' if placed else None)
  other = {
    'model_name': 'cifarnet',
    'attention_placement': 'class',
    'attention_module': 'se_block',
    'labels_offset': 1,
    'padding': 'symmetric',
    'use_grayscale': True,
    'optimizer': 'adam',
    'recipe': 'original',
  }[option.name]
  with pytest.raises(
    UserError, match=rf'was trained with(out)? --{option.name}\b'
  ):
    train(max_number_of_steps=2, **{option.name: other})


def test_fine_tuning_keeps_the_padding_of_the_weights(
  train, train_job, tmp_path
):
  train(max_number_of_steps=1, padding='symmetric')
  job = train_job(
    train_dir=str(tmp_path / 'tuned'), checkpoint_path=str(tmp_path / 'train')
  )
  assert resolve.training(job, {'train_dir'}).job.padding == 'symmetric'
  with pytest.raises(
    UserError, match=r'--padding=same contradicts.*with --padding=symmetric'
  ):
    resolve.training(job, {'padding'})


def test_a_job_of_an_earlier_version_has_the_padding_of_tensorflow(
  evaluation, tmp_path
):
  evaluation({})
  path = tmp_path / 'job.json'
  content = json.loads(path.read_text())
  del content['options']['padding']
  path.write_text(json.dumps(content))
  assert evaluation().job.padding == 'same'
  with pytest.raises(UserError, match=r'trained with --padding=same'):
    evaluation(padding='symmetric')


def test_the_network_is_built_with_the_padding_of_its_job(evaluation, graph):
  setup = evaluation(
    {'padding': 'symmetric', 'model_name': 'mobilenet_v1_025'}, num_classes=10
  )
  setup.network_fn(is_training=False)(tf.zeros([1, 32, 32, 3]))
  assert 'Pad' in {op.type for op in graph.get_operations()}


def test_a_placement_of_nothing_is_refused(train_job):
  job = train_job(attention_placement='class')
  with pytest.raises(UserError, match='placement=class without attention'):
    resolve.training(job, ())


def test_one_spelling_of_attention(train_job):
  """Its own place is a module's default, as the original's ratio is."""
  job = train_job(
    attention_module='se_block(ratio=8)', attention_placement='block'
  )
  resolved = resolve.training(job, ()).job
  assert resolved.attention_module == 'se_block'
  assert resolved.attention_placement is None


def test_resuming_neither_adds_averages_nor_drops_them(train):
  train(max_number_of_steps=1)
  with pytest.raises(
    UserError, match='was trained without --moving_average_deca'
  ):
    train(max_number_of_steps=2, moving_average_decay=0.9)


@pytest.mark.slow
def test_resuming_prints_what_changed(train, tmp_path, capsys):
  train(max_number_of_steps=1)
  train(max_number_of_steps=2, learning_rate=0.5)
  stderr = capsys.readouterr().err
  assert '--learning_rate=0.5 instead of 0.003' in stderr
  job = json.loads((tmp_path / 'train' / 'job.json').read_text())
  assert job['options']['learning_rate'] == 0.5


@pytest.mark.slow
def test_resuming_tells_that_records_were_lost(train_job, tmp_path, capsys):
  """A file cut off between two records is missed by nothing else."""
  from tiny_data import write_digits

  from engine.training import loop

  data = write_digits(tmp_path / 'data', 12, 3)
  job = train_job(dataset_dir=str(data), max_number_of_steps=1, batch_size=2)
  loop.train(job)
  assert 'records' not in capsys.readouterr().err.replace('on 12 records', '')
  write_digits(data, 7, 3)
  loop.train(dataclasses.replace(job, max_number_of_steps=2))
  assert re.search(
    'Warning: digits/train has 7 records; 12 when training started',
    capsys.readouterr().err,
  )


@pytest.mark.slow
def test_resuming_without_flags_goes_on_with_the_job(train_job, tmp_path):
  from engine.training import loop

  job = train_job(weight_decay=0.01, batch_size=4, max_number_of_steps=1)
  loop.train(job, frozenset())
  bare = TrainJob(train_dir=job.train_dir, max_number_of_steps=2)
  summary = loop.train(bare, {'train_dir', 'max_number_of_steps'})
  assert summary.step == 2
  resumed = job_file.read(job.train_dir)['options']
  assert (resumed['weight_decay'], resumed['batch_size']) == (0.01, 4)


def test_a_worker_may_have_its_own_place_and_machine(tmp_path):
  chief = TrainJob(
    train_dir=str(tmp_path),
    worker_hosts='a:1,b:1',
    checkpoint_path='/a/run/model.ckpt-7',
  )
  precedence.refuse_options_unlike_chief(chief)
  job_file.write(chief, {'num_classes': 10})
  own = {
    'task': 1, 'dataset_dir': '/data', 'num_readers': 2, 'cache': True,
    'checkpoint_path': '/b/run/model.ckpt-7',
  }  # fmt: skip
  precedence.refuse_options_unlike_chief(dataclasses.replace(chief, **own))


@pytest.mark.parametrize(
  ('other', 'message'),
  [
    ({'batch_size': 8}, '--batch_size=8, but worker 0 has 32: start all'),
    ({'sync_replicas': True}, '--sync_replicas=True, but worker 0 has False'),
    ({'attention_module': 'se_block'}, 'se_block, but worker 0 has None'),
    ({'checkpoint_path': 'model.ckpt-7'}, 'ckpt-7, but worker 0 has None'),
    ({'teacher_checkpoint': 'runs/b/best'}, 'b/best, but worker 0 has runs/a'),
  ],
)
def test_a_worker_that_would_make_other_steps_is_refused(
  tmp_path, other, message
):
  chief = TrainJob(train_dir=str(tmp_path), teacher_checkpoint='runs/a/best')
  job_file.write(chief, {'num_classes': 10})
  with pytest.raises(UserError, match=message):
    precedence.refuse_options_unlike_chief(dataclasses.replace(chief, **other))


@pytest.fixture
def renamed(digits, tmp_path):
  """The digits in files of other names: x-train.tfrecords, x-val.tfrecords."""
  folder = tmp_path / 'renamed'
  folder.mkdir()
  for split, name in (('train', 'train'), ('test', 'val')):
    path = digits / f'digits_{split}.tfrecord'
    (folder / f'x-{name}.tfrecords').write_bytes(path.read_bytes())
  return folder


def test_a_file_pattern_of_training_is_evaluations_too(
  train_job, evaluation, renamed, tmp_path
):
  flags = {'dataset_dir': str(renamed), 'file_pattern': 'x-%s.tfrecords'}
  setup = resolve.training(train_job(**flags), frozenset(flags))
  assert setup.dataset.files == (str(renamed / 'x-train.tfrecords'),)
  # From dataset.json, and in a folder that cannot be written from the job.
  for recorded in ({'dataset_dir': str(renamed)}, flags):
    found = evaluation(recorded, dataset_split_name='validation')
    assert found.dataset.files == (str(renamed / 'x-val.tfrecords'),)
    (renamed / 'dataset.json').unlink()
  with pytest.raises(UserError, match=r"--file_pattern='?x-%s\.tfrecords'?\."):
    resolve.training(train_job(dataset_dir=str(renamed)), frozenset())


def test_another_folder_has_files_of_its_own_names(evaluation, renamed, digits):
  recorded = {
    'dataset_dir': str(renamed),
    'file_pattern': 'x-%s.tfrecords',
  }
  setup = evaluation(recorded, dataset_dir=str(digits))
  assert setup.dataset.files == (str(digits / 'digits_test.tfrecord'),)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'balanced_sampling': True, 'skip_bad_records': True},
      'cannot be combined with --skip_bad_records',
    ),
    (
      {'balanced_sampling': True},
      r"1 of 10 classes of digits/train have no records: \['nine'\]",
    ),
    ({'class_weights': 'few.csv'}, r'few\.csv has no weight for 9 of 10'),
  ],
)
def test_rare_classes_are_refused_where_they_cannot_be_helped(
  train_job, tmp_path, monkeypatch, options, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'few.csv').write_text('3,1\n')
  counts = np.arange(10)[::-1]
  monkeypatch.setattr(resolve.class_counts, 'count', lambda *given: counts)
  with pytest.raises(UserError, match=message):
    resolve.training(train_job(**options), frozenset())


def test_weights_are_those_of_the_networks_classes(train_job, digits):
  job = train_job(class_weights='balanced', balanced_sampling=True)
  setup = resolve.training(job, frozenset())
  assert setup.class_counts == (4,) * 10
  assert setup.class_weights == (1.0,) * 10


def test_a_file_of_weights_is_found_from_other_folders(
  train_job, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / 'weights.csv'
  path.write_text(''.join(f'{label},{label + 1}\n' for label in range(10)))
  job = train_job(class_weights='weights.csv')
  setup = resolve.training(job, frozenset())
  assert setup.job.class_weights == str(path)
  assert setup.class_weights == tuple(range(1, 11))


@pytest.mark.parametrize('step', [7, 9, 6])
def test_a_checkpoint_may_be_later_than_its_name(monkeypatch, step):
  """Workers that do not wait make steps while the chief saves."""
  monkeypatch.setattr(resolve.store, 'recorded_step', lambda _: step)
  expected = contextlib.nullcontext()
  if step < 7:
    expected = pytest.raises(UserError, match='saved at step 6, contrary to')
  with expected:
    resolve._check_step('train/model.ckpt-7')
