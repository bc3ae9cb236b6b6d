"""Runs the programs in forked processes, which share one import of TensorFlow.

Reads one request per line from stdin, a JSON object with these keys:
  program, flags: the command to run, like `python program flags`.
  cwd: its working directory.
  folder: the folder in which the files `pid`, `stdout` and `stderr` appear, and
    at the end `code`, the exit code, negative for a signal as in subprocess.
  cold: whether to start a new Python rather than only fork.
  file_size: None, or a limit for the bytes in each file that it writes. To the
    program, reaching it is like a full disk.
  environ: additional environment variables.
  tiny: whether to register the network of tests/tiny_network.py.
"""

import importlib
import json
import os
import pathlib
import resource
import runpy
import signal
import sys

CHECKOUT = pathlib.Path(__file__).parents[2]


def main() -> dict | None:
  """Serves until stdin ends; in a forked process, returns its request."""
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)
  # Not sys.stdin: every fork would inherit the lines that Python read ahead.
  with open(0, 'rb', buffering=0) as requests:
    for line in requests:
      request = json.loads(line)
      if not os.fork() and _watch(request):
        return request
  return None


def _watch(request: dict) -> bool:
  """Forks; returns True in the child, whose end the parent records."""
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  os.setsid()
  folder = pathlib.Path(request['folder'])
  child = os.fork()
  if not child:
    return True
  _write_number(folder / 'pid', child)
  _, status = os.waitpid(child, 0)
  _write_number(folder / 'code', os.waitstatus_to_exitcode(status))
  os._exit(0)


def _write_number(path: pathlib.Path, number: int) -> None:
  """Writes a number into a file, atomically."""
  path.with_suffix('.part').write_text(str(number))
  path.with_suffix('.part').replace(path)


def _set_up(request: dict) -> str:
  """Sets up this process as the command would, and returns the program."""
  folder = pathlib.Path(request['folder'])
  for number, name in ((0, os.devnull), (1, 'stdout'), (2, 'stderr')):
    mode = os.O_RDWR | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(folder / name, mode), number)
  os.chdir(request['cwd'])
  os.environ.update(request['environ'])
  if request['file_size']:
    limit = request['file_size']
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
  program = str(CHECKOUT / request['program'])
  if request['tiny']:
    importlib.import_module('tiny_network').register()
  sys.argv = [program, *request['flags']]
  if request['cold']:
    environ = {**_ENVIRONMENT, **request['environ']}
    os.execve(sys.executable, [sys.executable, *sys.argv], environ)
  return program


if __name__ == '__main__':
  _ENVIRONMENT = dict(os.environ)
  sys.path[0] = str(CHECKOUT)
  sys.path.append(str(CHECKOUT / 'tests'))
  from tf_compat import tf

  # Modules load TensorFlow at their first use of it.
  assert tf.VERSION
  from engine.evaluation import continuous  # noqa: F401
  from engine.training import loop  # noqa: F401

  request = main()
  if request is not None:
    runpy.run_path(_set_up(request), run_name='__main__')
