"""A student learns from a teacher's probabilities."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_network

from engine.checkpoints import store
from engine.config import resolve
from engine.config import teacher as teachers
from engine.config.jobs import TrainJob
from engine.run_dir import progress_csv
from engine.training import distillation
from errors import UserError
from tf_compat import few_runs, tf

RNG = np.random.default_rng(0)
LOGITS, TEACHER = RNG.normal(size=(2, 4, 6)) * 3


def softmax(logits):
  odds = np.exp(logits - logits.max(axis=1, keepdims=True))
  return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_loss_and_gradient_are_the_papers(graph, temperature):
  logits = tf.constant(LOGITS, tf.float32)
  loss = distillation.loss(
    logits, tf.constant(TEACHER, tf.float32), temperature
  )
  p, q = softmax(LOGITS / temperature), softmax(TEACHER / temperature)
  divergence = (q * np.log(q / p)).sum(axis=1)
  with tf.Session(config=few_runs()) as session:
    value, gradient = session.run([loss, tf.gradients(loss, logits)[0]])
  assert value == pytest.approx(temperature**2 * divergence.mean(), rel=1e-5)
  # T² · (p - q) / T of each record.
  np.testing.assert_allclose(
    gradient, temperature * (p - q) / 4, rtol=1e-4, atol=1e-6
  )


def test_a_student_that_equals_its_teacher_has_nothing_to_learn(graph):
  logits = tf.constant(LOGITS, tf.float32)
  loss = distillation.loss(logits, logits, 2.0)
  with tf.Session(config=few_runs()) as session:
    value, gradient = session.run([loss, tf.gradients(loss, logits)[0]])
  assert value == pytest.approx(0, abs=1e-6)
  np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.fixture(scope='module')
def teacher(digits, tmp_path_factory):
  """A run of tiny with attention and moving averages, never changed."""
  from engine.training import loop

  with pytest.MonkeyPatch.context() as patch:
    tiny_network.register(patch.setattr)
    job = TrainJob(
      train_dir=str(tmp_path_factory.mktemp('teacher')),
      dataset_name='digits',
      dataset_dir=str(digits),
      model_name='tiny',
      attention_module='se_block',
      batch_size=8,
      optimizer='momentum',
      moving_average_decay=0.9,
      max_number_of_steps=3,
      seed=2,
    )
    return loop.train(job).checkpoint


@pytest.fixture
def tiny(monkeypatch):
  tiny_network.register(monkeypatch.setattr)


def weights(checkpoint) -> dict[str, np.ndarray]:
  reader = tf.train.load_checkpoint(checkpoint)
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


@pytest.mark.slow
@pytest.mark.parametrize('clones', [1, 2])
def test_a_run_has_the_teachers_loss_and_saves_nothing_of_it(
  tiny, train, teacher, tmp_path, clones
):
  options = {
    'model_name': 'tiny_plain',
    'teacher_checkpoint': teacher,
    'distillation_weight': 1.0,
    'weight_decay': 0.0,
    'num_clones': clones,
    'batch_size': 8 // clones,
    'clone_on_cpu': True,
  }
  straight = train(
    train_dir=str(tmp_path / 'a'), max_number_of_steps=4, **options
  )
  before = weights(teacher)
  for steps in (2, 4):
    resumed = train(
      train_dir=str(tmp_path / 'b'), max_number_of_steps=steps, **options
    )
  one, other = weights(straight.checkpoint), weights(resumed.checkpoint)
  assert not [name for name in one if 'Teacher' in name or 'se_block' in name]
  assert set(one) == set(other)
  for name, value in one.items():
    np.testing.assert_array_equal(other[name], value, err_msg=name)
  for name, value in weights(teacher).items():
    np.testing.assert_array_equal(before[name], value, err_msg=name)
  losses = progress_csv.read(tmp_path / 'a' / progress_csv.FILE)['loss']
  assert (losses > 0).all()


@pytest.mark.slow
def test_a_teacher_of_itself_has_no_loss(tiny, train, tmp_path):
  """Restored, in inference mode: the same weights give the same logits."""
  options = {'model_name': 'tiny_plain', 'max_number_of_steps': 1}
  first = train(train_dir=str(tmp_path / 'a'), **options).checkpoint
  train(
    train_dir=str(tmp_path / 'b'),
    checkpoint_path=first,
    teacher_checkpoint=first,
    distillation_weight=1.0,
    weight_decay=0.0,
    **options,
  )
  losses = progress_csv.read(tmp_path / 'b' / progress_csv.FILE)['loss']
  assert losses == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('recorded', 'options', 'message'),
  [
    ({'num_classes': 9}, {}, r'has 9 classes, and digits 10: take one'),
    (
      {'dataset_name': 'cifar10', 'dataset_dir': None},
      {},
      r"trained on cifar10, whose class 0 is 'airplane', not 'zero'",
    ),
    ({}, {'train_image_size': 30}, r'--train_image_size=32, and .*=30'),
    (
      {},
      {'preprocessing_name': 'cifarnet'},
      r'--preprocessing_name=lenet, and .*--preprocessing_name=cifarnet',
    ),
    (None, {}, r'has no job\.json'),
  ],
)
def test_a_teacher_that_does_not_fit_is_refused(
  tiny, train_job, teacher, tmp_path, recorded, options, message
):
  folder = tmp_path / 'teacher'
  copy = store.copy(teacher, folder)
  if recorded is not None:
    path = store.folder_of(teacher) / 'job.json'
    content = json.loads(path.read_text())
    for name, value in recorded.items():
      place = content if name in content else content['options']
      place[name] = value
    (folder / 'job.json').write_text(json.dumps(content))
  job = train_job(model_name='tiny', teacher_checkpoint=copy, **options)
  with pytest.raises(UserError, match=message):
    resolve.training(job, frozenset())


def test_a_teacher_of_other_data_of_the_same_name_is_refused(tmp_path):
  (tmp_path / 'labels.txt').write_text('0:cat\n1:dog\n')
  options = {'dataset_name': 'photos', 'dataset_dir': str(tmp_path)}
  recorded = {'num_classes': 2, 'options': options}
  job = TrainJob(dataset_name='photos', teacher_checkpoint='run')
  teachers._check_classes(job, recorded, ('cat', 'dog'))
  with pytest.raises(UserError, match="class 0 is 'cat', not 'dog'"):
    teachers._check_classes(job, recorded, ('dog', 'cat'))
  # Of a folder that is not here, the names are unknown.
  options['dataset_dir'] = str(tmp_path / 'gone')
  teachers._check_classes(job, recorded, ('dog', 'cat'))


@pytest.mark.slow
def test_a_run_folder_names_its_newest_checkpoint(tiny, train_job, teacher):
  folder = str(store.folder_of(teacher))
  setup = resolve.training(
    train_job(model_name='tiny_plain', teacher_checkpoint=folder), frozenset()
  )
  assert setup.job.teacher_checkpoint == setup.teacher.checkpoint == teacher
  assert setup.teacher.network.attention_module == 'se_block'
  assert setup.teacher.use_averages
  with pytest.raises(UserError, match='parameter servers'):
    resolve.training(
      dataclasses.replace(
        setup.job, ps_hosts='a:1', worker_hosts='b:1', job_name='worker'
      ),
      frozenset(),
    )
