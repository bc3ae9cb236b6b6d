"""Where a job runs: its devices and processes, made of its options."""

import dataclasses
from collections.abc import Callable
from typing import Any

from deployment import clones, devices, servers, workers
from deployment.cluster import Cluster
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Deployment:
  """Where a job runs.

  Attributes:
    strategy: what spreads a step over devices; its scope is entered to build.
    target: the TensorFlow server whose sessions run it; '' for in-process.
    config: how these use their devices.
    cluster: the processes that train together; None for one.
    server: this process's own, which lives as long as something holds it.
  """

  strategy: tf.distribute.Strategy
  target: str
  config: tf.ConfigProto
  cluster: Cluster | None = None
  server: tf.train.Server | None = None


def deploy(
  job: Any, cluster: Cluster | None, tell: Callable[[str], None]
) -> Deployment:
  """Takes the devices of a training job, and meets its other processes.

  Args:
    job: has num_clones, clone_on_cpu, mixed_precision, master and
      worker_timeout_secs.
    cluster: the processes that train together; None for one.
    tell: says a line to the user.

  Raises:
    UserError: if devices are lacking, the port is taken, or others do not come.
  """
  config = devices.session_config(
    job.mixed_precision, job.clone_on_cpu, job.num_clones, job.xla
  )
  if cluster is None:
    strategy = clones.strategy(job.num_clones, job.clone_on_cpu)
    return Deployment(strategy, job.master, config)
  strategy = workers.strategy(cluster, job.num_clones, job.clone_on_cpu)
  config = strategy.update_config_proto(config)
  server = servers.start(cluster, config)
  servers.wait_for_all(cluster, job.worker_timeout_secs, tell)
  return Deployment(strategy, server.target, config, cluster, server)
