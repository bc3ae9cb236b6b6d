"""Where a job runs: its devices and processes, made of its options."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from deployment import clones, devices, servers, workers
from deployment.cluster import Cluster
from deployment.replica import Replica
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
    replica: its part where parameter servers keep the variables; else None.
  """

  strategy: tf.distribute.Strategy
  target: str
  config: tf.ConfigProto
  cluster: Cluster | None = None
  server: tf.train.Server | None = None
  replica: Replica | None = None

  @contextlib.contextmanager
  def scope(self) -> Iterator[None]:
    """Where the graph is built."""
    placed = self.replica.placed() if self.replica else contextlib.nullcontext()
    with self.strategy.scope(), placed:
      yield


def deploy(
  job: Any, cluster: Cluster | None, tell: Callable[[str], None]
) -> Deployment:
  """Takes the devices of a training job, and meets its other processes.

  Args:
    job: has num_clones, clone_on_cpu, mixed_precision, xla, master,
      sync_replicas, replicas_to_aggregate and worker_timeout_secs.
    cluster: the processes that train together; None for one.
    tell: says a line to the user.

  Raises:
    UserError: if devices are lacking, the port is taken, or others do not come.
  """
  config = devices.session_config(
    job.mixed_precision,
    job.clone_on_cpu,
    job.num_clones,
    job.xla,
    served=bool(cluster or job.master),
  )
  if cluster is None:
    strategy = clones.strategy(job.num_clones, job.clone_on_cpu)
    return Deployment(strategy, job.master, config)
  if cluster.servers:
    return _with_servers(job, cluster, config, tell)
  strategy = workers.strategy(cluster, job.num_clones, job.clone_on_cpu)
  config = strategy.update_config_proto(config)
  server = servers.start(cluster, config)
  servers.wait_for(cluster.others, job.worker_timeout_secs, tell)
  return Deployment(strategy, server.target, config, cluster, server)


def _with_servers(
  job: Any,
  cluster: Cluster,
  config: tf.ConfigProto,
  tell: Callable[[str], None],
) -> Deployment:
  """A worker's, which meets the parameter servers, and the chief, alone."""
  replica = Replica(job, cluster, tell)
  server = None if job.master else servers.start(cluster, config)
  needed = list(cluster.servers)
  if not cluster.is_chief:
    needed.append(cluster.workers[0])
  if job.master:
    needed.append(servers.address_of(job.master))
  servers.wait_for(needed, job.worker_timeout_secs, tell)
  config.device_filters.extend(replica.device_filters)
  return Deployment(
    tf.distribute.get_strategy(),
    job.master or server.target,
    config,
    cluster,
    server,
    replica,
  )
