"""A copy of the scripts, a PATH with few tools, and fake Pythons in bash."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
TOOLS = [
  'awk',
  'bash',
  'cat',
  'chmod',
  'cksum',
  'cp',
  'df',
  'dirname',
  'env',
  'flock',
  'mkdir',
  'mv',
  'rm',
  'sed',
  'basename',
  'readlink',
  'sleep',
]

# Answers the calls of scripts/setup.sh, and logs every pip command.
FAKE_PYTHON = """#!/bin/bash
# A file beside it has the version, so that a copy can have the same.
read -r version < "$0.version"
case "$*" in
  *sys.version_info*) echo "$version" ;;
  --version) echo "Python $version" ;;
  *ensurepip*) [[ ! -e $0.no_venv ]] ;;
  '-m venv --clear '*)
    rm -rf "$4" && mkdir -p "$4/bin"
    cp "$0" "$4/bin/python" && cp "$0.version" "$4/bin/python.version"
    ;;
  '-m pip --version') ;;
  '-m pip install '*)
    echo "pip $*" >> "$FAKE_LOG"
    sleep "${FAKE_PIP_SECONDS:-0}"
    exit "${FAKE_PIP_EXIT:-0}"
    ;;
  *) printf '%s\\n' "$@" >> "$FAKE_LOG" ;;
esac
"""


class Machine:
  """A fresh machine: a checkout and a PATH."""

  def __init__(self, folder: pathlib.Path):
    self.root = folder / 'a check out'
    self.bin = folder / 'bin'
    self.log = folder / 'log'
    self.log.touch()
    self.bin.mkdir()
    for tool in TOOLS:
      (self.bin / tool).symlink_to(shutil.which(tool))
    shutil.copytree(ROOT / 'scripts', self.root / 'scripts')
    shutil.copytree(ROOT / 'constraints', self.root / 'constraints')
    shutil.copy(ROOT / 'pyproject.toml', self.root)

  def tool(self, name: str, script: str) -> pathlib.Path:
    """Adds an executable to PATH."""
    path = self.bin / name
    path.unlink(missing_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path

  def python(self, name: str, version: str) -> pathlib.Path:
    """Adds a Python of some version to PATH."""
    path = self.tool(name, FAKE_PYTHON)
    path.with_name(f'{name}.version').write_text(f'{version}\n')
    return path

  def environment(self, **more: str) -> dict[str, str]:
    return {
      'PATH': str(self.bin),
      'FAKE_LOG': str(self.log),
      'HOME': os.environ.get('HOME', '/'),
      **more,
    }

  def run(
    self, script: str, *arguments: str, **environment: str
  ) -> subprocess.CompletedProcess:
    """Runs a script of the checkout from another folder."""
    return subprocess.run(
      [self.bin / 'bash', self.root / 'scripts' / script, *arguments],
      env=self.environment(**environment),
      cwd=self.bin,
      capture_output=True,
      text=True,
      timeout=60,
    )

  def logged(self) -> list[str]:
    """Returns what the Pythons logged since the last call."""
    lines = self.log.read_text().splitlines()
    self.log.write_text('')
    return lines


@pytest.fixture
def machine(tmp_path) -> Machine:
  return Machine(tmp_path)
