"""Workers: processes, on one machine or many, that make every step together.

Each has a TensorFlow server, all variables, and its part of the records;
tf.distribute adds up their gradients (by NCCL between GPUs, a ring of gRPC
calls otherwise).
"""

from typing import Any

from deployment import clones
from deployment.cluster import WORKER, Cluster
from errors import UserError
from tf_compat import tf


def check(job: Any, cluster: Cluster | None) -> None:
  """Raises UserError for options that are at odds with the cluster.

  Args:
    job: has num_clones, clone_on_cpu and master.
    cluster: the processes that train together; None for one.
  """
  if cluster is None or cluster.servers:
    return
  if job.num_clones > 1 and job.clone_on_cpu:
    raise UserError(
      f'--num_clones={job.num_clones} --clone_on_cpu: TensorFlow gives a worker '
      'one clone on the CPU; start more workers instead.'
    )
  if job.master:
    raise UserError(
      f'--master={job.master}: without parameter servers each worker needs a '
      'server of its own; leave it out, or name --ps_hosts.'
    )


def strategy(
  cluster: Cluster, num_clones: int, on_cpu: bool
) -> tf.distribute.Strategy:
  """What spreads a step over the clones of all workers.

  Args:
    cluster: the workers, each of which has as many clones.
    num_clones: of this worker, one where it has no GPUs.
    on_cpu: take the CPU rather than GPUs, also where there are some.

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
