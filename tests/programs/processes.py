"""Processes of the programs: starting, watching and killing them."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

SECONDS = 300.0
# The tests' own network, which has no randomness.
TINY = {
  'dataset_name': 'digits', 'model_name': 'tiny', 'batch_size': 4, 'seed': 1,
  'num_readers': 1, 'num_preprocessing_threads': 1, 'learning_rate': 0.05,
  'optimizer': 'momentum', 'log_every_n_steps': 1, 'clone_on_cpu': True,
}  # fmt: skip
# '2025-01-31 09:30:00.0: I …' in older TensorFlow versions,
# 'I0000 00:00:0.0 …' in newer ones.
_TENSORFLOW_LOG = re.compile(
  r'(?m)^([IWE]0000 00:|\d{4}-\d\d-\d\d \S+: [IWE] |WARNING: All log ).*\n'
)


def until(condition: Callable, what: str, seconds: float = SECONDS):
  """Waits until a condition is true, and returns its value."""
  start = time.monotonic()
  while not (value := condition()):
    waited = time.monotonic() - start
    assert waited < seconds, f'waited {seconds:g} s for {what}'
    # Often at first, since most waits are short.
    time.sleep(min(0.02, 0.001 + waited / 10))
  return value


def free_addresses(count: int) -> list[str]:
  """Returns addresses at which no process listens."""
  sockets = [socket.socket() for _ in range(count)]
  for each in sockets:
    each.bind(('127.0.0.1', 0))
  addresses = [f'127.0.0.1:{each.getsockname()[1]}' for each in sockets]
  for each in sockets:
    each.close()
  return addresses


def values(checkpoint: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns all variables in a checkpoint."""
  from tf_compat import tf

  reader = tf.train.load_checkpoint(str(checkpoint))
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


class Process:
  """A process that runs a program.

  Attributes:
    pid: its process id.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    until((folder / 'pid').exists, 'the process to start')
    self.pid = int((folder / 'pid').read_text())

  @property
  def stdout(self) -> str:
    return self._read('stdout')

  @property
  def stderr(self) -> str:
    """Standard error, without TensorFlow's log lines about the machine."""
    return _TENSORFLOW_LOG.sub('', self._read('stderr'))

  def _read(self, name: str) -> str:
    path = self._folder / name
    return path.read_text(errors='replace') if path.exists() else ''

  @property
  def code(self) -> int | None:
    """Exit code, negative for a signal; None while the process runs."""
    path = self._folder / 'code'
    return int(path.read_text()) if path.exists() else None

  def wait(self, seconds: float = SECONDS) -> int:
    """Waits until the process ends, and returns its exit code."""
    until(
      lambda: self.code is not None, f'the end after {self.stderr}', seconds
    )
    return self.code

  def wait_for(self, pattern: str, seconds: float = SECONDS) -> re.Match:
    """Waits for a pattern on stderr, and returns its first match."""

    def find_match():
      # First, so that everything written before the end is searched.
      ended = self.code is not None
      match = re.search(pattern, self.stderr)
      assert match or not ended, f'ended without {pattern!r}: {self.stderr}'
      return match

    return until(find_match, f'{pattern!r}', seconds)

  def signal(self, number: int) -> None:
    """Sends a signal unless the process has ended."""
    if self.code is None:
      os.kill(self.pid, number)

  @property
  def error(self) -> str:
    """The message after 'error: ' of a process that failed without a trace."""
    assert self.wait() not in (0, None), self.stderr
    assert 'Traceback' not in self.stderr, self.stderr
    match = re.search(r'(?ms)^error: (.*)', self.stderr)
    assert match, self.stderr
    return match[1].strip()


class Server:
  """A server that starts programs; see warm_programs.py."""

  def __init__(self, folder: pathlib.Path):
    self._folder, self._started = folder, []
    script = pathlib.Path(__file__).with_name('warm_programs.py')
    # A TensorFlow loaded here has set this variable, which would keep that of
    # the server from hiding its first log lines.
    environ = dict(os.environ)
    environ.pop('TF_CPP_MIN_LOG_LEVEL', None)
    self._process = subprocess.Popen(
      [sys.executable, str(script)],
      stdin=subprocess.PIPE,
      cwd=folder,
      env=environ,
      # Ctrl-C is for the tests alone, which then end the server.
      start_new_session=True,
    )

  def start(
    self,
    program: str,
    *flags: str,
    cwd: pathlib.Path,
    cold: bool = False,
    file_size: int | None = None,
    environ: Mapping[str, str] | None = None,
    tiny: bool = False,
    pictures: bool = True,
    **more: object,
  ) -> Process:
    """Starts a program of the checkout.

    Args:
      program: a key of PROGRAMS, such as 'train'.
      *flags: flags as on the command line.
      cwd: the working directory.
      cold: whether to start a new Python, which takes seconds to import
        TensorFlow.
      file_size: the maximum number of bytes in a file that it writes.
      environ: additional environment variables.
      tiny: whether to register --model_name=tiny.
      pictures: whether to write plots, which take half a second each.
      **more: more flags by name; one that is None is omitted.
    """
    folder = self._folder / str(len(self._started))
    folder.mkdir()
    named_flags = (f'--{n}={v}' for n, v in more.items() if v is not None)
    request = {
      'folder': str(folder),
      'program': PROGRAMS[program],
      'flags': [*map(str, flags), *named_flags],
      'cwd': str(cwd),
      'cold': cold,
      'file_size': file_size,
      'environ': dict(environ or {}),
      'tiny': tiny,
      'pictures': pictures,
    }
    self._process.stdin.write(json.dumps(request).encode() + b'\n')
    self._process.stdin.flush()
    self._started.append(Process(folder))
    return self._started[-1]

  def kill(self) -> None:
    """Kills the processes that still run."""
    for process in self._started:
      if process.code is None:
        process.signal(signal.SIGKILL)
        process.wait()

  def close(self) -> None:
    """Kills the processes and ends the server."""
    self.kill()
    self._process.stdin.close()
    self._process.wait(SECONDS)


PROGRAMS = {
  'train': 'train_image_classifier.py',
  'eval': 'eval_image_classifier.py',
  'loop': 'eval_image_classifier_loop.py',
  'convert': 'download_and_convert_data.py',
  'inspect': 'inspect_data.py',
  'list': 'list_networks.py',
  'import': 'import_weights.py',
  'predict': 'predict.py',
  'visualize': 'visualize_attention.py',
  'compare': 'compare_attention.py',
  'export': 'export_model.py',
}
