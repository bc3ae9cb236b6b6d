"""What parameter servers refuse, and where the graph of a worker lies."""

import pytest

from deployment import parameter_servers
from deployment.cluster import Cluster
from deployment.replica import Replica
from engine import resolve, train_step
from engine.job import TrainJob
from errors import UserError
from tf_compat import tf

CLUSTER = Cluster(('a:1', 'b:1', 'c:1'), ('d:1', 'e:1'), task=1)
ALL_REDUCE = Cluster(('a:1', 'b:1'))


@pytest.mark.parametrize('cluster', [None, ALL_REDUCE])
@pytest.mark.parametrize(
  'options', [{'sync_replicas': True}, {'replicas_to_aggregate': 3}]
)
def test_without_servers_workers_step_together_anyway(cluster, options):
  with pytest.raises(UserError, match='workers always step together: leave'):
    parameter_servers.check(TrainJob(**options), cluster)


@pytest.mark.parametrize(
  ('message', 'options'),
  [
    ('aggregate=4, but there are 3 workers: wait for 3 or fewer',
     {'sync_replicas': True, 'replicas_to_aggregate': 4}),
    ('aggregate=2 without --sync_replicas', {'replicas_to_aggregate': 2}),
    ('num_clones=2: .* start one for each GPU', {'num_clones': 2}),
    ('sync_batch_norm: .* leave out', {'sync_batch_norm': True}),
    ('float16 does not combine',
     {'sync_replicas': True, 'mixed_precision': 'float16'}),
  ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(message, options):
  with pytest.raises(UserError, match=message):
    parameter_servers.check(TrainJob(**options), CLUSTER)


@pytest.mark.parametrize(
  ('options', 'gradients'),
  [
    ({}, 1),
    # TF-Slim's own default, of no meaning without --sync_replicas.
    ({'replicas_to_aggregate': 1}, 1),
    ({'sync_replicas': True}, 3),
    ({'sync_replicas': True, 'replicas_to_aggregate': 2}, 2),
  ],
)
def test_how_many_gradients_make_a_step(options, gradients):
  job = TrainJob(**options)
  parameter_servers.check(job, CLUSTER)
  assert Replica(job, CLUSTER, print).gradients_per_step == gradients


@pytest.fixture
def setup(digits, tmp_path):
  job = TrainJob(
    train_dir=str(tmp_path / 'train'), dataset_name='digits',
    dataset_dir=str(digits), model_name='lenet', batch_size=5,
    optimizer='momentum', moving_average_decay=0.9, skip_bad_records=True,
  )  # fmt: skip
  return resolve.training(job, frozenset())[0]


def build(setup, **options) -> train_step.TrainStep:
  """The step of worker 1 of CLUSTER, in the default graph."""
  replica = Replica(TrainJob(**options), CLUSTER, print)
  with replica.placed():
    return train_step.build(setup, replica=replica)


@pytest.mark.parametrize('sync', [False, True])
def test_servers_keep_variables_and_workers_the_rest(setup, graph, sync):
  step = build(setup, sync_replicas=sync)
  assert step.images_per_step == (15 if sync else 5)
  # Whether it is listened to, if it asks all to end.
  assert (step.votes is not None) == sync
  kept = {v.op.name: v.device for v in tf.global_variables()}
  assert {*kept.values()} == {'/job:ps/task:0', '/job:ps/task:1'}
  for name in kept:
    for suffix in ('Momentum', 'ExponentialMovingAverage'):
      if (slot := f'{name}/{suffix}') in kept:
        assert kept[slot] == kept[name]
  own = '/job:worker/task:1'
  here = {v.device for v in tf.local_variables()} | {
    operation.device
    for operation in graph.get_operations()
    if operation.type in ('Conv2D', 'MatMul', 'IteratorV2', 'IteratorGetNext')
  }
  assert {device.removesuffix('/device:CPU:0') for device in here} == {own}


def test_a_checkpoint_holds_what_that_of_one_device_does(setup, graph):
  build(setup, sync_replicas=True)
  shared = {variable.op.name for variable in tf.global_variables()}
  with tf.Graph().as_default():
    train_step.build(setup)
    assert shared == {variable.op.name for variable in tf.global_variables()}
