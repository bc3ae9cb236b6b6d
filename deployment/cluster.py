"""Which processes train together, and which of them this one is.

TF_CONFIG says so where a launcher sets it (Kubernetes, SLURM, cloud jobs), the
flags --worker_hosts, --ps_hosts, --job_name and --task otherwise.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from errors import UserError

WORKER, PS = 'worker', 'ps'
_LAST_PORT = 65535
ADDRESS = re.compile(r'([^\s,/]+):(\d+)', re.ASCII)
_LIKE = (
  '{"cluster": {"worker": ["host:port", …]}, '
  '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The processes of a run, each an address 'host:port', and this one's place.

  Attributes:
    workers: those that compute; the first one is the chief, which alone writes.
    servers: those that keep the variables; none where every worker has them.
    job_name: 'worker' or 'ps', what this process is.
    task: its number among those.
  """

  workers: tuple[str, ...]
  servers: tuple[str, ...] = ()
  job_name: str = WORKER
  task: int = 0

  @property
  def is_chief(self) -> bool:
    """Whether this process writes checkpoints, events and results."""
    return self.job_name == WORKER and self.task == 0

  @property
  def hosts(self) -> dict[str, list[str]]:
    """Addresses by job, as TensorFlow takes them."""
    hosts = {WORKER: list(self.workers), PS: list(self.servers)}
    return {job: addresses for job, addresses in hosts.items() if addresses}

  @property
  def address(self) -> str:
    """This process's own."""
    return self.hosts[self.job_name][self.task]

  @property
  def others(self) -> list[str]:
    """All addresses but this process's."""
    everyone = (*self.workers, *self.servers)
    return [address for address in everyone if address != self.address]


def find(job: Any, environ: Mapping[str, str]) -> Cluster | None:
  """The cluster of a job; None for a process that trains alone.

  Args:
    job: has worker_hosts, ps_hosts, job_name, task, worker_replicas and
      num_ps_tasks.
    environ: the process's environment, whose TF_CONFIG counts.

  Raises:
    UserError: for what is missing, malformed or contradictory.
  """
  cluster = _of_config(environ.get('TF_CONFIG') or '{}')
  if job.worker_hosts or job.ps_hosts:
    if cluster:
      raise UserError(
        '--worker_hosts and TF_CONFIG both name a cluster: leave out the flags, '
        'or unset TF_CONFIG.'
      )
    cluster = _checked(
      _split(job.worker_hosts), _split(job.ps_hosts), job.job_name, job.task
    )
  elif cluster:
    _same_place(job, cluster)
  elif job.job_name != WORKER or job.task:
    raise UserError(
      f'--job_name={job.job_name} --task={job.task}: of which cluster? Name '
      'its processes by --worker_hosts and --ps_hosts, or TF_CONFIG.'
    )
  _agree(job, cluster)
  return cluster if cluster and cluster.others else None


def _same_place(job: Any, cluster: Cluster) -> None:
  """Raises UserError for flags that give another place than TF_CONFIG does."""
  for flag, default in (('job_name', WORKER), ('task', 0)):
    told, mine = getattr(job, flag), getattr(cluster, flag)
    if told not in (default, mine):
      raise UserError(
        f'--{flag}={told}, but TF_CONFIG makes this process {cluster.job_name} '
        f'{cluster.task}: leave out the flag, or unset TF_CONFIG and name the '
        'cluster by --worker_hosts.'
      )


def _split(hosts: str | None) -> list[str]:
  return [host.strip() for host in (hosts or '').split(',') if host.strip()]


def _of_config(text: str) -> Cluster | None:
  """The cluster that TF_CONFIG describes: a chief is the first worker."""
  try:
    config = json.loads(text)
    hosts = {
      job: [str(address) for address in _list(found)]
      for job, found in config['cluster'].items()
    }
    kind, task = config['task']['type'], int(config['task']['index'])
  except KeyError as error:
    if error.args == ('cluster',):
      return None
    raise UserError(
      f'TF_CONFIG={text}: {error} is missing: it is like {_LIKE}.'
    ) from error
  except (ValueError, TypeError, AttributeError) as error:
    raise UserError(
      f'TF_CONFIG={text} cannot be read ({error}): it is like {_LIKE}.'
    ) from error
  chiefs = hosts.get('chief', hosts.get('master', []))
  if len(chiefs) > 1:
    raise UserError(f'TF_CONFIG has {len(chiefs)} chiefs: there can be one.')
  if kind == 'evaluator':
    raise UserError(
      'TF_CONFIG makes this process an evaluator: run '
      'eval_image_classifier_loop.py in it.'
    )
  if kind == WORKER:
    task += len(chiefs)
  elif kind in ('chief', 'master'):
    kind = WORKER
  return _checked(
    [*chiefs, *hosts.get(WORKER, [])], hosts.get(PS, []), kind, task
  )


def _list(addresses: Any) -> list:
  """The addresses of a job, which are no single text."""
  if not isinstance(addresses, list):
    raise TypeError(f'{addresses!r} is no list')
  return addresses


def _checked(
  workers: Sequence[str], servers: Sequence[str], job_name: str, task: int
) -> Cluster:
  """The cluster, if its addresses and this process's place make sense."""
  counts = collections.Counter([*workers, *servers])
  twice = [address for address, count in counts.items() if count > 1]
  if twice:
    raise UserError(f'{twice[0]} is named twice: each process has its own.')
  for address in counts:
    parts = ADDRESS.fullmatch(address)
    if not (parts and 0 < int(parts[2]) <= _LAST_PORT):
      raise UserError(
        f'{address!r} is no address: name each as host:port, with a comma '
        'between two.'
      )
  if not workers:
    raise UserError('The cluster has no workers: name them by --worker_hosts.')
  hosts = {WORKER: workers, PS: servers}
  if job_name not in hosts or not 0 <= task < len(hosts[job_name]):
    has = ', '.join(f'{len(found)} {job}' for job, found in hosts.items())
    raise UserError(
      f'This process is {job_name} {task} (--job_name and --task, or TF_CONFIG), '
      f'but the cluster has {has}; they are counted from 0.'
    )
  return Cluster(tuple(workers), tuple(servers), job_name, task)


def _agree(job: Any, cluster: Cluster | None) -> None:
  """Raises UserError where the numbers that flags give are not the cluster's."""
  workers = len(cluster.workers) if cluster else 1
  servers = len(cluster.servers) if cluster else 0
  for name, flag, count, alone in (
    ('worker_replicas', 'worker_hosts', workers, 1),
    ('num_ps_tasks', 'ps_hosts', servers, 0),
  ):
    asked = getattr(job, name)
    if asked not in (alone, count):
      raise UserError(
        f'--{name}={asked}, but the cluster has {count}: name as many by '
        f'--{flag}=host:port,… or TF_CONFIG.'
      )
