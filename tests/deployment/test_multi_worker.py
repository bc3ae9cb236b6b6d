"""Devices of a worker; tests/programs/test_training_together.py starts workers."""

import pytest

from deployment import clones, multi_worker
from deployment.cluster import Cluster
from engine.config.jobs import TrainJob
from errors import UserError

CLUSTER = Cluster(('a:1', 'b:1', 'c:1'), task=2)


def test_a_worker_has_one_clone_on_its_cpu():
  strategy = multi_worker.make_strategy(CLUSTER, 1, on_cpu=True)
  assert strategy.num_replicas_in_sync == 3
  assert clones.local_count(strategy) == 1
  (device,) = strategy.extended.worker_devices
  assert device == '/job:worker/replica:0/task:2/device:CPU:0'


@pytest.mark.parametrize(
  ('message', 'options'),
  [
    ('start more workers instead', {'num_clones': 2, 'clone_on_cpu': True}),
    ('master=grpc://a:1: .* omit --master', {'master': 'grpc://a:1'}),
  ],
)
def test_options_that_workers_do_not_support_are_refused(message, options):
  job = TrainJob(**options)
  with pytest.raises(UserError, match=message):
    multi_worker.check(job, CLUSTER)
  multi_worker.check(job, None)
  multi_worker.check(job, Cluster(('a:1', 'b:1'), ('c:1',)))


def test_more_clones_than_gpus_are_refused():
  with pytest.raises(UserError, match='num_clones=64, but TensorFlow sees'):
    multi_worker.make_strategy(CLUSTER, 64, on_cpu=False)
