"""Cluster: the processes that train together, and which of them this one is.

A launcher (Kubernetes, SLURM, cloud jobs) describes it in TF_CONFIG; otherwise
the flags --worker_hosts, --ps_hosts, --job_name and --task do.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

import files
from deployment.options import PS, WORKER, ClusterOptions
from errors import UserError
from registry import abbreviated

_LAST_PORT = 65535
_ADDRESS = re.compile(r'([^\s,/]+):(\d{1,5})', re.ASCII)
_EXAMPLE = (
  '{"cluster": {"worker": ["host:port", …]}, '
  '"task": {"type": "worker", "index": 0}}'
)


def is_address(text: str) -> bool:
  """Whether a text is host:port, with a host that a machine can have."""
  parts = _ADDRESS.fullmatch(text)
  if not (parts and 0 < int(parts[2]) <= _LAST_PORT):
    return False
  try:
    # As sockets encode it: no part is empty or longer than 63 characters.
    parts[1].encode('idna')
  except UnicodeError:
    return False
  return True


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The processes of a run, by their addresses, and which of them this one is.

  Attributes:
    workers: addresses, host:port, of the processes that compute. The first is
      the chief, which alone writes files.
    servers: addresses of the parameter servers, which hold the variables; empty
      if every worker holds them.
    job_name: 'worker' or 'ps', the role of this process.
    task: the index of this process among those of its role.
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
    """Addresses by role, in the form of tf.train.ClusterSpec."""
    hosts = {WORKER: list(self.workers), PS: list(self.servers)}
    return {job: addresses for job, addresses in hosts.items() if addresses}

  @property
  def address(self) -> str:
    """Address of this process."""
    return self.hosts[self.job_name][self.task]

  @property
  def others(self) -> list[str]:
    """Addresses of all other processes."""
    everyone = (*self.workers, *self.servers)
    return [address for address in everyone if address != self.address]


def find(options: ClusterOptions, environ: Mapping[str, str]) -> Cluster | None:
  """Returns the cluster this process belongs to; None if it trains alone.

  Args:
    options: the cluster flags.
    environ: the environment, whose TF_CONFIG is read.

  Raises:
    UserError: if the flags or TF_CONFIG are incomplete, malformed or
      contradictory.
  """
  cluster = _parse_config(environ.get('TF_CONFIG') or '{}')
  if options.worker_hosts or options.ps_hosts:
    if cluster:
      raise UserError(
        '--worker_hosts and TF_CONFIG both describe a cluster: omit the flags, '
        'or unset TF_CONFIG.'
      )
    cluster = _checked(
      _split(options.worker_hosts),
      _split(options.ps_hosts),
      options.job_name,
      options.task,
    )
  elif cluster:
    _check_role(options, cluster)
  elif options.job_name != WORKER or options.task:
    raise UserError(
      f'--job_name={options.job_name} --task={options.task} require a cluster: '
      'list its processes in --worker_hosts and --ps_hosts, or in TF_CONFIG.'
    )
  _check_counts(options, cluster)
  return cluster if cluster and cluster.others else None


def _check_role(options: ClusterOptions, cluster: Cluster) -> None:
  """Raises UserError if --job_name or --task contradicts TF_CONFIG."""
  for flag, default in (('job_name', WORKER), ('task', 0)):
    requested, configured = getattr(options, flag), getattr(cluster, flag)
    if requested not in (default, configured):
      raise UserError(
        f'--{flag}={requested}, but TF_CONFIG makes this process '
        f'{cluster.job_name} {cluster.task}: omit the flag, or unset TF_CONFIG '
        'and set --worker_hosts.'
      )


def _split(hosts: str | None) -> list[str]:
  return [host.strip() for host in (hosts or '').split(',') if host.strip()]


def _parse_config(text: str) -> Cluster | None:
  """Returns the cluster in TF_CONFIG, with a chief as the first worker."""
  remedy = f'Write it like {_EXAMPLE}.'
  kinds = {'cluster?': {str: [str]}, 'task?': {'type': str, 'index': int}}
  config = files.parse_json(text, kinds, 'TF_CONFIG', remedy)
  if 'cluster' not in config:
    return None
  if 'task' not in config:
    raise UserError(f'TF_CONFIG lacks task. {remedy}')
  hosts, kind = config['cluster'], config['task']['type']
  task = config['task']['index']
  chiefs = hosts.get('chief', hosts.get('master', []))
  if len(chiefs) > 1:
    raise UserError(f'TF_CONFIG has {len(chiefs)} chiefs: only one is allowed.')
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


def _checked(
  workers: Sequence[str], servers: Sequence[str], job_name: str, task: int
) -> Cluster:
  """Returns the cluster; raises UserError if it is not consistent."""
  counts = collections.Counter([*workers, *servers])
  repeated = [address for address, count in counts.items() if count > 1]
  if repeated:
    raise UserError(
      f'{repeated[0]} is listed twice: each process needs its own address.'
    )
  for address in counts:
    if not is_address(address):
      raise UserError(
        f'{abbreviated(address)} is not an address: write each as host:port, separated by '
        'commas.'
      )
  if not workers:
    raise UserError('The cluster has no workers: list them in --worker_hosts.')
  hosts = {WORKER: workers, PS: servers}
  if job_name not in hosts or not 0 <= task < len(hosts[job_name]):
    has = ', '.join(f'{len(group)} {job}' for job, group in hosts.items())
    raise UserError(
      f'This process is {job_name} {task} (--job_name and --task, or '
      f'TF_CONFIG), but the cluster has {has}; indices start at 0.'
    )
  return Cluster(tuple(workers), tuple(servers), job_name, task)


def _check_counts(options: ClusterOptions, cluster: Cluster | None) -> None:
  """Raises UserError unless flags for counts agree with the cluster."""
  workers = len(cluster.workers) if cluster else 1
  servers = len(cluster.servers) if cluster else 0
  for name, flag, count, default in (
    ('worker_replicas', 'worker_hosts', workers, 1),
    ('num_ps_tasks', 'ps_hosts', servers, 0),
  ):
    requested = getattr(options, name)
    if requested not in (default, count):
      raise UserError(
        f'--{name}={requested}, but the cluster has {count}: list {requested} '
        f'in --{flag}=host:port,… or TF_CONFIG.'
      )
