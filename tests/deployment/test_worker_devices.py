"""What a worker computes on; tests/programs/test_training_together.py has real ones."""

import pytest

from deployment import clones, workers
from deployment.cluster import Cluster
from errors import UserError

CLUSTER = Cluster(('a:1', 'b:1', 'c:1'), task=2)


def test_a_worker_has_one_clone_on_its_cpu():
  strategy = workers.strategy(CLUSTER, 1, on_cpu=True)
  assert strategy.num_replicas_in_sync == 3
  assert clones.local_count(strategy) == 1
  (device,) = strategy.extended.worker_devices
  assert device == '/job:worker/replica:0/task:2/device:CPU:0'


def test_several_clones_on_a_worker_s_cpu_are_refused():
  with pytest.raises(UserError, match='start more workers instead'):
    workers.strategy(CLUSTER, 2, on_cpu=True)


def test_more_clones_than_gpus_are_refused():
  with pytest.raises(UserError, match='num_clones=64, but TensorFlow sees'):
    workers.strategy(CLUSTER, 64, on_cpu=False)
