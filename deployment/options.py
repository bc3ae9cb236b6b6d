"""Options for where a job runs; importing them does not load TensorFlow."""

import dataclasses

from options import Options, option

WORKER, PS = 'worker', 'ps'


@dataclasses.dataclass(frozen=True, kw_only=True)
class SessionOptions(Options):
  """Options of a TensorFlow session."""

  xla: bool = option(
    False,
    'Compile the graph with XLA where it can, on GPUs; CPUs compile only with '
    'TF_XLA_FLAGS=--tf_xla_cpu_global_jit, for experiments.',
    group='advanced',
  )
  master: str = option(
    '',
    'Address of a TensorFlow server to run in, grpc://host:port; runs in this '
    'process if not set.',
    group='cluster',
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloneOptions(Options):
  """Options for several devices of one machine."""

  num_clones: int = option(
    1, 'Number of devices that share a step.', lower=1, group='cluster'
  )
  clone_on_cpu: bool = option(
    False,
    'Run on the CPU, with one logical CPU for each clone.',
    group='cluster',
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterOptions(Options):
  """Options for several processes that train together."""

  worker_hosts: str | None = option(
    None,
    'Addresses of the workers that train together, host:port separated by '
    'commas, the same in all processes; TF_CONFIG can name them instead.',
    group='cluster',
  )
  ps_hosts: str | None = option(
    None,
    'Addresses of the parameter servers, which hold the variables; in the same '
    'form as --worker_hosts.',
    group='cluster',
  )
  job_name: str = option(
    WORKER, 'Role of this process.', known=(WORKER, PS), group='cluster'
  )
  task: int = option(
    0,
    'Index of this process among those of its role; worker 0 is the chief, '
    'which writes checkpoints.',
    lower=0,
    group='cluster',
  )
  worker_replicas: int = option(
    1,
    'Number of workers; must match --worker_hosts.',
    lower=1,
    group='cluster',
  )
  num_ps_tasks: int = option(
    0,
    'Number of parameter servers; must match --ps_hosts.',
    lower=0,
    group='cluster',
  )
  worker_timeout_secs: int = option(
    600,
    'Seconds to wait for other processes, at the start and in each step; must '
    'be longer than saving a checkpoint, or evaluating within training.',
    lower=1,
    group='cluster',
  )
  sync_replicas: bool = option(
    False,
    'Let the workers of parameter servers make each step together.',
    group='cluster',
  )
  replicas_to_aggregate: int | None = option(
    None,
    'Number of gradients to wait for in each step; all workers if not set.',
    lower=1,
    group='cluster',
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeploymentOptions(SessionOptions, CloneOptions, ClusterOptions):
  """Options for where training runs, and in which precision."""

  mixed_precision: str | None = option(
    None,
    'Precision: float32, or, where it is numerically safe, bfloat16 (CPUs) or '
    'float16 with loss scaling (GPUs).',
    known=('float32', 'bfloat16', 'float16'),
    group='optimization',
  )
  sync_batch_norm: bool = option(
    False,
    'Compute the mean and variance of batch norm over the images of all '
    'clones.',
    group='cluster',
  )
