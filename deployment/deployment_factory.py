"""Chooses the deployment of a training run from its options."""

from __future__ import annotations

from collections.abc import Callable

from deployment import clones, devices
from deployment.cluster import Cluster
from deployment.deployment import Deployment
from deployment.multi_worker import MultiWorker
from deployment.options import DeploymentOptions
from deployment.ps_worker import PsWorker


def deploy(
  options: DeploymentOptions,
  cluster: Cluster | None,
  say: Callable[[str], None],
) -> Deployment:
  """Acquires the devices of a training run and connects it to its peers.

  Args:
    options: the deployment flags.
    cluster: the processes that train together; None for one.
    say: prints a line for the user.

  Raises:
    UserError: if devices are missing, the port is in use, or peers do not
      answer in time.
  """
  config = devices.session_config(
    options.mixed_precision,
    options.clone_on_cpu,
    options.num_clones,
    options.xla,
    served=bool(cluster or options.master),
  )
  if cluster is None:
    strategy = clones.strategy(options.num_clones, options.clone_on_cpu)
    return Deployment(strategy, options.master, config)
  if cluster.servers:
    return PsWorker(options, cluster, config, say).connect()
  return MultiWorker(options, cluster, config, say)
