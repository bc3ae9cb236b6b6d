"""Multi-worker training: processes on one or more machines step together.

Each worker has a TensorFlow server, all variables, and its share of the
records. tf.distribute sums their gradients, with NCCL between GPUs and
otherwise by a ring of gRPC calls.
"""

from __future__ import annotations

from collections.abc import Callable

from deployment import clones, grpc_server
from deployment.cluster import Cluster
from deployment.deployment import NUM_STOP_VOTES, Deployment
from deployment.options import WORKER, DeploymentOptions
from errors import UserError
from tf_compat import tf


def check(options: DeploymentOptions, cluster: Cluster | None) -> None:
  """Raises UserError for options that contradict a cluster of workers."""
  if cluster is None or cluster.servers:
    return
  if options.num_clones > 1 and options.clone_on_cpu:
    raise UserError(
      f'--num_clones={options.num_clones} --clone_on_cpu: TensorFlow allows '
      'one clone per worker on the CPU; start more workers instead.'
    )
  if options.master:
    raise UserError(
      f'--master={options.master}: without parameter servers each worker '
      'starts its own server; omit --master, or set --ps_hosts.'
    )


class MultiWorker(Deployment):
  """One of several workers that make every step together.

  Attributes:
    server: the server of this process, which runs as long as it is referenced.
  """

  def __init__(
    self,
    options: DeploymentOptions,
    cluster: Cluster,
    config: tf.ConfigProto,
    say: Callable[[str], None],
  ) -> None:
    """Starts the server and waits for the other workers.

    Args:
      options: the deployment flags.
      cluster: the workers, and which of them this is.
      config: the configuration of sessions.
      say: prints a line for the user.

    Raises:
      UserError: if this worker has too few GPUs, its port is in use, or other
        workers do not answer in time.
    """
    strategy = make_strategy(cluster, options.num_clones, options.clone_on_cpu)
    config = strategy.update_config_proto(config)
    self.server = grpc_server.start(cluster, config, say)
    grpc_server.wait_for(cluster.others, options.worker_timeout_secs, say)
    super().__init__(strategy, self.server.target, config)
    self.cluster = cluster

  def begin_step(self) -> None:
    self.stop_votes = tf.placeholder(tf.float32, [NUM_STOP_VOTES])


def make_strategy(
  cluster: Cluster, num_clones: int, on_cpu: bool
) -> tf.distribute.Strategy:
  """Returns the strategy that spreads a step over the clones of all workers.

  Args:
    cluster: the workers, which all have the same number of clones.
    num_clones: clones of this worker; it has one if it has no GPUs.
    on_cpu: whether to use the CPU even if there are GPUs.

  Raises:
    UserError: if this worker has too few GPUs.
  """
  if num_clones > 1:
    clones.check_gpus(num_clones)
  gpus = 0 if on_cpu else min(num_clones, clones.count_gpus())
  resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec(cluster.hosts),
    task_type=WORKER,
    task_id=cluster.task,
    num_accelerators={'GPU': gpus},
    rpc_layer='grpc',
  )
  return tf.distribute.experimental.MultiWorkerMirroredStrategy(
    cluster_resolver=resolver
  )
