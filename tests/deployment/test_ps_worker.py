"""Options refused with parameter servers, and devices in a worker's graph."""

import pytest

from deployment import parameter_servers
from deployment.cluster import Cluster
from deployment.deployment_factory import deploy
from deployment.ps_worker import PsWorker
from engine.config import resolve
from engine.config.jobs import TrainJob
from engine.training import step as train_step
from errors import UserError
from tf_compat import tf

CLUSTER = Cluster(('a:1', 'b:1', 'c:1'), ('d:1', 'e:1'), task=1)
ALL_REDUCE = Cluster(('a:1', 'b:1'))


@pytest.mark.parametrize('cluster', [None, ALL_REDUCE])
@pytest.mark.parametrize(
  'options', [{'sync_replicas': True}, {'replicas_to_aggregate': 3}]
)
def test_options_for_servers_are_refused_without_servers(cluster, options):
  with pytest.raises(UserError, match='workers always step together: omit'):
    parameter_servers.check(TrainJob(**options), cluster)


@pytest.mark.parametrize(
  ('message', 'options'),
  [
    ('aggregate=4, but there are 3 workers: set it to 3 or less',
     {'sync_replicas': True, 'replicas_to_aggregate': 4}),
    ('aggregate=2 requires --sync_replicas', {'replicas_to_aggregate': 2}),
    ('num_clones=2: .* start one worker for each GPU', {'num_clones': 2}),
    ('sync_batch_norm: .* omit', {'sync_batch_norm': True}),
    ('float16 cannot be combined',
     {'sync_replicas': True, 'mixed_precision': 'float16'}),
  ],
)  # fmt: skip
def test_contradictory_options_are_refused(message, options):
  with pytest.raises(UserError, match=message):
    parameter_servers.check(TrainJob(**options), CLUSTER)


@pytest.mark.parametrize(
  ('options', 'gradients'),
  [
    ({}, 1),
    # TF-Slim's own default, which has no effect without --sync_replicas.
    ({'replicas_to_aggregate': 1}, 1),
    ({'sync_replicas': True}, 3),
    ({'sync_replicas': True, 'replicas_to_aggregate': 2}, 2),
  ],
)
def test_number_of_gradients_in_a_step(options, gradients):
  job = TrainJob(**options)
  parameter_servers.check(job, CLUSTER)
  assert (
    PsWorker(job, CLUSTER, tf.ConfigProto(), print).gradients_per_step
    == gradients
  )


@pytest.fixture
def setup(digits, tmp_path):
  job = TrainJob(
    train_dir=str(tmp_path / 'train'), dataset_name='digits',
    dataset_dir=str(digits), model_name='lenet', batch_size=5,
    optimizer='momentum', moving_average_decay=0.9, skip_bad_records=True,
  )  # fmt: skip
  return resolve.training(job, frozenset())


def build(setup, **options) -> train_step.TrainStep:
  """Builds the step of worker 1 of CLUSTER in the default graph."""
  worker = PsWorker(TrainJob(**options), CLUSTER, tf.ConfigProto(), print)
  with worker.scope():
    return train_step.build(setup, worker)


@pytest.mark.parametrize('sync', [False, True])
def test_variables_are_on_servers_and_the_rest_on_the_worker(
  setup, graph, sync
):
  step = build(setup, sync_replicas=sync)
  assert step.images_per_step == (15 if sync else 5)
  # Worker 1 has a vote only if workers wait for one another.
  assert (step.stop_votes is not None) == sync
  devices = {v.op.name: v.device for v in tf.global_variables()}
  assert {*devices.values()} == {'/job:ps/task:0', '/job:ps/task:1'}
  for name in devices:
    for suffix in ('Momentum', 'ExponentialMovingAverage'):
      if (slot := f'{name}/{suffix}') in devices:
        assert devices[slot] == devices[name]
  local_devices = {v.device for v in tf.local_variables()} | {
    operation.device
    for operation in graph.get_operations()
    if operation.type in ('Conv2D', 'MatMul', 'IteratorV2', 'IteratorGetNext')
  }
  assert {device.removesuffix('/device:CPU:0') for device in local_devices} == {
    '/job:worker/task:1'
  }


def test_checkpoints_hold_the_same_variables_as_those_of_one_device(
  setup, graph
):
  build(setup, sync_replicas=True)
  shared = {variable.op.name for variable in tf.global_variables()}
  with tf.Graph().as_default():
    train_step.build(setup, deploy(setup.job, None, print))
    assert shared == {variable.op.name for variable in tf.global_variables()}
