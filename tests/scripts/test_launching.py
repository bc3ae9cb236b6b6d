"""Flags of each process in a local cluster, on SLURM and on Kubernetes."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
CLUSTER = ROOT / 'scripts' / 'cluster'

# A program that prints its flags; with --fail, worker 1 fails. Servers never end
# by themselves.
PROGRAM = r"""#!/bin/bash
printf '%s\n' "${@:2}"
echo "an error" >&2
case "$*" in
  *--fail*--task=1) exit 7 ;;
  *--job_name=ps*) exec sleep 100 ;;
  *--long*|*--fail*) echo "waits" >&2; exec sleep 100 ;;
esac
"""


@pytest.fixture
def launching(machine):
  """The machine with PROGRAM as its Python."""
  machine.tool('python3', PROGRAM)
  return machine


def lines(output: str, task: int, job: str = 'worker') -> list[str]:
  """Returns the lines of one process, in order."""
  return re.findall(rf'(?m)^\[{job} {task}\] (.*)$', output)


def addresses(flag: str, name: str) -> list[str]:
  """Returns the addresses in --name=address,..."""
  assert flag.startswith(f'--{name}=127.0.0.1:')
  return flag.removeprefix(f'--{name}=').split(',')


def test_each_worker_gets_all_addresses_and_its_number(launching):
  result = launching.run(
    'launch_local.sh', '-w', '3', '--', 'train.py', '--train_dir=my train'
  )
  assert result.returncode == 0, result.stderr
  hosts = {lines(result.stdout, task)[1] for task in range(3)}
  assert len(hosts) == 1
  assert len(set(addresses(hosts.pop(), 'worker_hosts'))) == 3
  for task in range(3):
    first, _, *role = lines(result.stdout, task)
    assert first == '--train_dir=my train'
    assert role == ['--job_name=worker', f'--task={task}']
    assert lines(result.stderr, task) == ['an error']


def test_servers_are_stopped_after_the_workers_have_ended(launching):
  began = time.monotonic()
  result = launching.run(
    'launch_local.sh', '-w', '2', '-p', '1', '--', 'train.py'
  )
  assert result.returncode == 0, result.stderr
  assert time.monotonic() - began < 50  # The server would sleep for 100.
  workers, servers, *role = lines(result.stdout, 0, 'ps')
  assert role == ['--job_name=ps', '--task=0']
  assert lines(result.stdout, 1)[:2] == [workers, servers]
  both = addresses(workers, 'worker_hosts') + addresses(servers, 'ps_hosts')
  assert len(set(both)) == 3


def test_a_failed_process_stops_all(launching):
  began = time.monotonic()
  result = launching.run('launch_local.sh', '--', 'train.py', '--fail')
  assert result.returncode == 7
  assert time.monotonic() - began < 50  # The other would have waited for 100.


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all(launching, number):
  with subprocess.Popen(
    [
      launching.bin / 'bash', launching.root / 'scripts' / 'launch_local.sh',
      '--', 'train.py', '--long',
    ],
    env=launching.environment(), stderr=subprocess.PIPE, text=True,
  ) as process:  # fmt: skip
    waiting = 0
    while waiting < 2:
      waiting += 'waits' in process.stderr.readline()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    # This returns only if no process keeps the pipe open.
    process.stderr.read()


@pytest.mark.parametrize(
  ('wrong', 'why'),
  [
    ([], 'must follow --'),
    (['--'], 'must follow --'),
    (['-w', '0', '--', 'train.py'], 'at least one worker is needed'),
    (['-w', '--', 'train.py'], "-w needs a number, not '--'"),
    (['-x', '1', '--', 'train.py'], "'-x' is not an option"),
  ],
)
def test_usage(launching, wrong, why):
  result = launching.run('launch_local.sh', *wrong)
  assert result.returncode == 2
  assert re.match(f'error: .*{why}', result.stderr)
  assert 'Usage: bash scripts/launch_local.sh [-w WORKERS]' in result.stderr


def test_the_slurm_job_gives_each_task_its_number(launching):
  """Replaces srun by a script that runs the third of three tasks."""
  launching.tool('scontrol', '#!/bin/bash\nprintf "%s\\n" node1 node2 node3\n')
  launching.tool('srun', '#!/bin/bash\nSLURM_PROCID=2 exec "${@:2}"\n')
  launching.bin.joinpath('paste').symlink_to(shutil.which('paste'))
  result = subprocess.run(
    [
      launching.bin / 'bash', launching.root / 'scripts/cluster/slurm.sh',
      '--train_dir=my train',
    ],
    env=launching.environment(SLURM_JOB_NODELIST='node[1-3]'),
    cwd=launching.root, capture_output=True, text=True,
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  assert result.stdout.splitlines() == [
    '--worker_hosts=node1:2222,node2:2222,node3:2222',
    '--task=2',
    '--num_clones=4',
    '--train_dir=my train',
  ]


def test_the_kubernetes_job_gives_each_pod_its_number(launching):
  service, job = json.loads((CLUSTER / 'kubernetes.json').read_text())['items']
  spec = job['spec']
  (container,) = spec['template']['spec']['containers']
  environment = {each['name']: each['value'] for each in container['env']}
  assert int(environment['WORKERS']) == spec['completions']
  assert spec['completions'] == spec['parallelism']
  assert service['spec']['selector'] == spec['template']['metadata']['labels']
  assert service['metadata']['name'] == spec['template']['spec']['subdomain']
  _, *arguments = container['command']
  result = subprocess.run(
    [launching.bin / 'bash', *arguments],
    env=launching.environment(JOB_COMPLETION_INDEX='1', **environment),
    cwd=launching.root, capture_output=True, text=True,
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  name = job['metadata']['name']
  expected = ','.join(f'{name}-{i}.{name}:2222' for i in range(4))
  assert result.stdout.splitlines()[:3] == [
    f'--worker_hosts={expected}',
    '--task=1',
    '--num_clones=1',
  ]
