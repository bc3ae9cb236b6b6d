"""Commands of the programs, run as processes: started, watched, killed."""

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
# The tests' own network, which has no chance in it.
TINY = {
  'dataset_name': 'digits', 'model_name': 'tiny', 'batch_size': 4, 'seed': 1,
  'num_readers': 1, 'num_preprocessing_threads': 1, 'learning_rate': 0.05,
  'optimizer': 'momentum', 'log_every_n_steps': 1, 'clone_on_cpu': True,
}  # fmt: skip
# '2025-01-31 09:30:00.0: I …' in older versions, 'I0000 00:00:0.0 …' in newer.
_OF_TENSORFLOW = re.compile(
  r'(?m)^([IWE]0000 00:|\d{4}-\d\d-\d\d \S+: [IWE] |WARNING: All log ).*\n'
)


def until(condition: Callable, what: str, seconds: float = SECONDS):
  """Waits for a condition to be true; returns its value."""
  end = time.monotonic() + seconds
  while not (value := condition()):
    assert time.monotonic() < end, f'waited {seconds:g} s for {what}'
    time.sleep(0.02)
  return value


def free_addresses(count: int) -> list[str]:
  """Where nothing listens."""
  sockets = [socket.socket() for _ in range(count)]
  for each in sockets:
    each.bind(('127.0.0.1', 0))
  addresses = [f'127.0.0.1:{each.getsockname()[1]}' for each in sockets]
  for each in sockets:
    each.close()
  return addresses


def values(checkpoint: pathlib.Path) -> dict[str, np.ndarray]:
  """Everything in a checkpoint."""
  from tf_compat import tf

  reader = tf.train.load_checkpoint(str(checkpoint))
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


class Process:
  """A command that was started.

  Attributes:
    pid: the program's process.
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
    """Without what TensorFlow says of the machine while it is loaded."""
    return _OF_TENSORFLOW.sub('', self._read('stderr'))

  def _read(self, name: str) -> str:
    path = self._folder / name
    return path.read_text(errors='replace') if path.exists() else ''

  @property
  def code(self) -> int | None:
    """The exit code, negative for a signal; None while it runs."""
    path = self._folder / 'code'
    return int(path.read_text()) if path.exists() else None

  def wait(self, seconds: float = SECONDS) -> int:
    """The exit code, waited for."""
    until(
      lambda: self.code is not None, f'the end after {self.stderr}', seconds
    )
    return self.code

  def wait_for(self, pattern: str, seconds: float = SECONDS) -> re.Match:
    """The first match of a pattern on stderr, waited for."""

    def found():
      # In this order: what it wrote before its end is read after it.
      ended = self.code is not None
      match = re.search(pattern, self.stderr)
      assert match or not ended, f'ended without {pattern!r}: {self.stderr}'
      return match

    return until(found, f'{pattern!r}', seconds)

  def signal(self, number: int) -> None:
    """Sends a signal unless it has ended."""
    if self.code is None:
      os.kill(self.pid, number)

  @property
  def error(self) -> str:
    """What follows 'error: ' of a command that failed as it should."""
    assert self.wait() not in (0, None), self.stderr
    assert 'Traceback' not in self.stderr, self.stderr
    found = re.search(r'(?ms)^error: (.*)', self.stderr)
    assert found, self.stderr
    return found[1].strip()


class Server:
  """Starts commands; see warm_programs.py."""

  def __init__(self, folder: pathlib.Path):
    self._folder, self._started = folder, []
    script = pathlib.Path(__file__).with_name('warm_programs.py')
    self._process = subprocess.Popen(
      [sys.executable, str(script)], stdin=subprocess.PIPE, cwd=folder
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
    **more: object,
  ) -> Process:
    """Starts a program of the checkout.

    Args:
      program: 'train', 'eval', 'loop', 'convert' or 'list'.
      *flags: as they are.
      cwd: the working directory.
      cold: a Python started anew, which takes seconds to import TensorFlow.
      file_size: most bytes it may write into a file.
      environ: further variables of its environment.
      tiny: make --model_name=tiny known.
      **more: further flags by name; None leaves one out.
    """
    folder = self._folder / str(len(self._started))
    folder.mkdir()
    given = (f'--{n}={v}' for n, v in more.items() if v is not None)
    request = {
      'folder': str(folder),
      'program': PROGRAMS[program],
      'flags': [*map(str, flags), *given],
      'cwd': str(cwd),
      'cold': cold,
      'file_size': file_size,
      'environ': dict(environ or {}),
      'tiny': tiny,
    }
    self._process.stdin.write(json.dumps(request).encode() + b'\n')
    self._process.stdin.flush()
    self._started.append(Process(folder))
    return self._started[-1]

  def kill(self) -> None:
    """Ends whatever still runs."""
    for process in self._started:
      if process.code is None:
        process.signal(signal.SIGKILL)
        process.wait()

  def close(self) -> None:
    """Ends the server and all."""
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
  'visualize': 'visualize_attention.py',
  'compare': 'compare_attention.py',
}
