"""Every value is restored from where it should be, bit for bit."""

import dataclasses
import re

import numpy as np
import pytest

from deployment.deployment_factory import deploy
from engine.checkpoints import matching, store
from engine.checkpoints import restore as restoring
from engine.config import resolve
from engine.optimization.optimizers import OPTIMIZERS
from engine.training import step as train_step
from errors import UserError
from nets import nets_factory
from registry import Table
from tf_compat import slim, tf


def values(checkpoint: str) -> dict[str, np.ndarray]:
  reader = tf.train.load_checkpoint(checkpoint)
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


def restored(restore, checkpoint: str) -> dict[str, np.ndarray]:
  """What the default graph's variables hold after restoring."""
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    restore(session, checkpoint)
    variables = tf.global_variables()
    names = [variable.op.name for variable in variables]
    return dict(zip(names, session.run(variables), strict=True))


def build(job):
  """The training graph of a job whose options were all given."""
  given = {field.name for field in dataclasses.fields(job)}
  setup = resolve.training(job, given)
  train_step.build(setup, deploy(job, None, print))


@pytest.mark.slow
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_resuming_restores_every_value(
  train, train_job, tmp_path, graph, optimizer
):
  options = {
    'optimizer': optimizer, 'moving_average_decay': 0.9,
    'attention_module': 'se_block', 'learning_rate': 0.001,
  }  # fmt: skip
  saved = train(max_number_of_steps=2, **options).checkpoint
  job = train_job(train_dir=str(tmp_path / 'other'), seed=7, **options)
  build(job)
  found = restored(restoring.resuming(job.model_name, saved), saved)
  expected = values(saved)
  assert set(found) == set(expected)
  assert found['global_step'] == 2
  assert any(map(matching.is_slot, found)) == (optimizer != 'sgd')
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.slow
def test_resuming_with_another_optimizer_is_refused(
  train, train_job, tmp_path, graph
):
  saved = train(max_number_of_steps=1, optimizer='momentum').checkpoint
  job = train_job(train_dir=str(tmp_path / 'other'), optimizer='adam')
  build(job)
  with pytest.raises(UserError, match=r"lacks the optimizer's .*/Adam"):
    restoring.resuming(job.model_name, saved)


@pytest.mark.slow
def test_averages_that_a_checkpoint_lacks_start_from_its_weights(
  train, train_job, tmp_path, graph, capsys
):
  saved = train(max_number_of_steps=1).checkpoint
  job = train_job(train_dir=str(tmp_path / 'other'), moving_average_decay=0.9)
  build(job)
  found = restored(restoring.resuming(job.model_name, saved), saved)
  for name, value in values(saved).items():
    if matching.is_weight(name):
      np.testing.assert_array_equal(found[name + matching.AVERAGE], value)
  assert re.search(r'\d+ moving averages start from', capsys.readouterr().err)


@pytest.mark.slow
def test_fine_tuning_adds_attention_and_starts_averages(
  train, train_job, tmp_path, graph, capsys
):
  saved = train(max_number_of_steps=1).checkpoint
  job = train_job(
    train_dir=str(tmp_path / 'other'), moving_average_decay=0.9,
    attention_module='cbam_block', checkpoint_path=saved, seed=7,
  )  # fmt: skip
  build(job)
  found = restored(restoring.fine_tuning(job, saved), saved)
  assert found['global_step'] == 0
  for name, value in values(saved).items():
    if matching.is_weight(name):
      np.testing.assert_array_equal(found[name], value)
      np.testing.assert_array_equal(found[name + matching.AVERAGE], value)
  assert 'so initialized: LeNet/pool1_CBAM/' in capsys.readouterr().err
  listing = tmp_path / 'other' / restoring.INITIALIZED_LIST
  listed = listing.read_text().splitlines()
  assert set(listed) == set(found) - set(values(saved)) - {
    name for name in found if not matching.is_weight(name)
  }
  listing.unlink()
  restoring.fine_tuning(job, saved, is_chief=False)
  assert not listing.exists()


@pytest.mark.slow
def test_logits_of_other_classes_start_anew(
  train, train_job, tmp_path, graph, capsys
):
  saved = train(max_number_of_steps=1).checkpoint
  job = train_job(
    train_dir=str(tmp_path / 'other'), checkpoint_path=saved, labels_offset=1
  )
  build(job)
  found = restored(restoring.fine_tuning(job, saved, num_classes=9), saved)
  before = values(saved)
  head = {'LeNet/fc4/weights', 'LeNet/fc4/biases'}
  for name, value in before.items():
    if matching.is_weight(name) and name not in head:
      np.testing.assert_array_equal(found[name], value)
  message = capsys.readouterr().err
  assert '10 classes, the data 9' in message
  assert all(name in message for name in head)


def test_heads_are_only_what_differs_in_classes():
  checkpoint = {'fc/kernel': [8, 10], 'fc/bias': [10], 'conv': [3, 3, 4, 8]}
  network = {'fc/kernel': [8, 5], 'fc/bias': [5], 'conv': [3, 3, 4, 8]}
  assert matching.other_classes(checkpoint, network, 5) == [
    'fc/kernel', 'fc/bias',
  ]  # fmt: skip
  assert matching.other_classes(checkpoint, network, 6) == []
  wider = network | {'conv': [3, 3, 4, 16]}
  assert matching.other_classes(checkpoint, wider, 5) == []
  deeper = network | {'fc/kernel': [16, 5]}
  assert matching.other_classes(checkpoint, deeper, 5) == []


def test_an_auxiliary_classifier_of_images_of_another_size_starts_anew():
  """Its kernels depend on the size of the map that they average."""
  conv, kernel = 'Net/conv', 'Net/AuxLogits/conv/weights'
  weights = {conv: [3, 3], kernel: [5, 5, 8, 16]}
  network = {conv: [3, 3], kernel: [2, 2, 8, 16]}
  assert restoring._take_auxiliary(weights, network) == [kernel]
  assert weights == {conv: [3, 3]}


def test_inception_v3_names_an_auxiliary_kernel_by_its_size():
  theirs, ours, logits = (
    f'InceptionV3/AuxLogits/Conv2d_2{end}/weights'
    for end in ('a_5x5', 'a_3x3', 'b_1x1')
  )
  weights = {theirs: [5, 5, 128, 768], logits: [1, 1, 768, 10]}
  network = {ours: [3, 3, 128, 768], logits: [1, 1, 768, 5]}
  assert restoring._take_auxiliary(weights, network) == [ours]
  # Logits of other classes are left to _take_heads.
  assert logits in weights
  # A checkpoint without an auxiliary classifier is of another network.
  assert restoring._take_auxiliary({}, network) == []


@pytest.mark.slow
@pytest.mark.parametrize(
  ('saved', 'wanted', 'message'),
  [
    ({'attention_module': saved, **placed}, wanted, message)
    for saved, placed, wanted, message in (
      ('cbam_block', {}, None, "--attention_module='cbam_block'"),
      ('cbam_block', {}, 'se_block', "--attention_module='cbam_block'"),
      ('se_block(ratio=4)', {}, 'se_block', r"='se_block\(ratio=4"),
      ('se_block', {'attention_placement': 'both'}, 'se_block', '_placement: '),
    )
  ],
)
def test_fine_tuning_refuses_attention_of_another_make(
  train, train_job, tmp_path, graph, saved, wanted, message
):
  """Without job.json beside it: the variables alone must tell."""
  checkpoint = train(max_number_of_steps=1, **saved).checkpoint
  (tmp_path / 'train' / 'job.json').unlink()
  job = train_job(
    train_dir=str(tmp_path / 'other'), attention_module=wanted,
    checkpoint_path=checkpoint,
  )  # fmt: skip
  build(job)
  with pytest.raises(UserError, match=message):
    restoring.fine_tuning(job, checkpoint)


@pytest.fixture
def published(tmp_path):
  """A checkpoint as TF-Slim's oldest: one file, and the data's mean color."""
  with tf.Graph().as_default(), tf.Session() as session:
    weights = slim.model_variable('net/w', [3])
    tf.get_variable('net/mean_rgb', [3])
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver(write_version=tf.train.SaverDef.V1)
    path = saver.save(session, str(tmp_path / 'x.ckpt'), write_meta_graph=False)
    return path, session.run(weights)


def test_the_oldest_published_form_is_found_and_fits(
  published, train_job, graph
):
  path, expected = published
  slim.model_variable('net/w', [3])
  assert store.find(path) == path
  assert list(matching.weights(store.shapes(path))) == ['net/w']
  found = restored(restoring.resuming(train_job().model_name, path), path)
  np.testing.assert_array_equal(found['net/w'], expected)


def test_another_spelling_is_restored_and_training_only_scopes_are_left(
  tmp_path, graph, monkeypatch
):
  """By a record of our own making: of networks, names alone count here."""
  record = dataclasses.replace(
    nets_factory.NETWORKS['lenet'],
    name='made',
    aliases=((r'/old/', '/new/'),),
    training_only=('net/aux',),
  )
  monkeypatch.setattr(nets_factory, 'NETWORKS', Table('network', [record]))
  with tf.Graph().as_default(), tf.Session() as session:
    for name in ('net/old/w', f'net/old/w{matching.AVERAGE}', 'net/aux/w'):
      tf.get_variable(name, [3])
    session.run(tf.global_variables_initializer())
    path = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt-1'))
    raw, average, _ = session.run(tf.global_variables())
  slim.model_variable('net/new/w', [3])
  for use_averages, expected in ((False, raw), (True, average)):
    mapping = restoring.evaluating('made', path, use_averages)
    restore = restoring.restorer(mapping)
    np.testing.assert_array_equal(
      restored(restore, path)['net/new/w'], expected
    )
