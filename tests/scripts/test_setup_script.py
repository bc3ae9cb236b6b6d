"""scripts/setup.sh: finds a Python, installs once, reports what is missing."""

import re
import subprocess
import time

import pytest


def test_installs_with_the_constraints_then_does_nothing(machine):
  machine.python('python3', '3.12')
  first = machine.run('setup.sh')
  assert first.returncode == 0, first.stderr
  setuptools, project = machine.logged()
  assert setuptools.endswith('--constraint constraints/newest.txt setuptools')
  assert project.endswith('--no-build-isolation --editable .')

  again = machine.run('setup.sh')
  assert (again.returncode, again.stdout, again.stderr) == (0, '', '')
  assert machine.logged() == []


def test_an_extra_is_added_and_kept(machine):
  machine.python('python3', '3.12')
  machine.run('setup.sh', 'dev')
  assert machine.logged()[-1].endswith('--editable .[dev,export]')
  machine.run('setup.sh')
  machine.run('setup.sh', 'dev')
  assert machine.logged() == []
  machine.run('setup.sh', 'gpu')
  assert machine.logged()[-1].endswith('--editable .[dev,export,gpu]')


@pytest.mark.parametrize('file', ['pyproject.toml', 'constraints/newest.txt'])
def test_installs_again_when_the_project_changed(machine, file):
  machine.python('python3', '3.12')
  machine.run('setup.sh')
  machine.logged()
  with (machine.root / file).open('a') as text:
    text.write('# changed\n')
  result = machine.run('setup.sh')
  assert len(machine.logged()) == 2
  assert 'creating' not in result.stderr


def test_a_failed_install_is_repeated(machine):
  machine.python('python3', '3.12')
  failed = machine.run('setup.sh', FAKE_PIP_EXIT='1')
  assert failed.returncode == 1
  assert re.search('installing failed.*network.*PIP_INDEX_URL', failed.stderr)
  machine.logged()
  assert machine.run('setup.sh').returncode == 0
  assert len(machine.logged()) == 2


def test_a_checkout_that_was_moved_gets_a_new_environment(machine):
  machine.python('python3', '3.12')
  machine.run('setup.sh')
  machine.root = machine.root.rename(machine.root.with_name('moved'))
  assert 'creating .venv' in machine.run('setup.sh').stderr


def test_the_python_of_the_user_replaces_another(machine):
  machine.python('python3', '3.12')
  machine.run('setup.sh')
  machine.python('mine', '3.11')
  result = machine.run('setup.sh', PYTHON='mine')
  assert 'creating .venv with Python 3.11' in result.stderr


@pytest.mark.parametrize(
  ('pythons', 'options', 'chosen'),
  [
    ({'python3': '3.14', 'python3.12': '3.12'}, [], '3.12'),
    (
      {'python3': '3.9', 'python3.13': '3.13', 'python3.10': '3.10'},
      [],
      '3.13',
    ),
    ({'python3': '3.13', 'python3.11': '3.11'}, ['--oldest'], '3.11'),
  ],
)
def test_chooses_a_supported_python(machine, pythons, options, chosen):
  for name, version in pythons.items():
    machine.python(name, version)
  result = machine.run('setup.sh', *options)
  assert result.returncode == 0, result.stderr
  assert f'with Python {chosen}' in result.stderr


def test_a_python_that_does_not_run_is_skipped(machine):
  machine.tool('python3', '#!/bin/bash\nexit 127\n')
  machine.python('python3.12', '3.12')
  assert machine.run('setup.sh').returncode == 0


def test_the_oldest_has_its_own_environment_and_constraints(machine):
  machine.python('python3', '3.12')
  assert machine.run('setup.sh', '--oldest').returncode == 0
  assert 'constraints/oldest.txt' in machine.logged()[0]
  assert (machine.root / '.venv-oldest' / 'installed').exists()
  assert not (machine.root / '.venv').exists()


def no_python(machine):
  return {}


def too_new(machine):
  machine.python('python3', '3.14')
  return {}


def wrong_choice(machine):
  machine.python('python3', '3.12')
  machine.python('mine', '3.9')
  return {'PYTHON': 'mine'}


def absent_choice(machine):
  machine.python('python3', '3.12')
  return {'PYTHON': 'absent'}


def no_venv_module(machine):
  machine.python('python3', '3.12').with_name('python3.no_venv').touch()
  return {}


def little_space(machine):
  machine.python('python3', '3.12')
  machine.tool('df', '#!/bin/bash\nprintf "a b c d\\n1 2 3 1500\\n"\n')
  return {}


def disk_fills_up(machine):
  machine.python('python3', '3.12')
  script = (
    '#!/bin/bash\n[[ -s $FAKE_LOG ]] && free=3 || free=9000\n'
    'printf "a b c d\\n1 2 3 $free\\n"\n'
  )
  machine.tool('df', script)
  return {'FAKE_PIP_EXIT': '1'}


@pytest.mark.parametrize(
  ('fault', 'message'),
  [
    (no_python, 'no Python 3.10 to 3.13 here .*not on PATH.*PYTHON='),
    (too_new, 'no Python 3.10 to 3.13 here .*python3 is 3.14'),
    (wrong_choice, "'mine', a Python 3.9; 3.10 to 3.13 is needed"),
    (absent_choice, "'absent', which does not run"),
    (no_venv_module, 'lacks.*venv.*apt install python3.12-venv'),
    (little_space, 'only 1500 MiB are free.*4000 MiB are needed'),
    (disk_fills_up, 'the disk is full: 3 MiB'),
  ],
)
def test_reports_what_is_missing(machine, fault, message):
  environment = fault(machine)
  result = machine.run('setup.sh', **environment)
  assert result.returncode == 1
  assert re.search(message, result.stderr), result.stderr
  assert 'Traceback' not in result.stderr
  assert len(result.stderr.splitlines()) <= 3


def test_an_unknown_extra_is_refused(machine):
  result = machine.run('setup.sh', 'manual')
  assert result.returncode == 1
  assert "unknown extra 'manual'" in result.stderr


def test_concurrent_runs_take_turns(machine):
  machine.python('python3', '3.12')
  first = subprocess.Popen(
    [machine.bin / 'bash', machine.root / 'scripts' / 'setup.sh'],
    env=machine.environment(FAKE_PIP_SECONDS='0.5'),
    stderr=subprocess.DEVNULL,
  )
  while first.poll() is None and not machine.log.read_text():
    time.sleep(0.01)
  second = machine.run('setup.sh')
  assert first.wait() == 0
  assert second.returncode == 0
  assert 'waiting' in second.stderr
  # Only the first run installs.
  assert len(machine.logged()) == 2
