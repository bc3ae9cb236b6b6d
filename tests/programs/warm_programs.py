"""Runs the programs in processes of their own, TensorFlow imported once.

Reads one request a line on stdin: a JSON object with `folder`, `program`,
`flags`, `cwd`, `cold`, `file_size`, `environ` and `tiny`. Each is run in a fork that looks like
`python program flags`, or with `cold` is exactly that; `file_size` limits what
it may write into one file, which is what a full disk looks like to it, `environ`
is added to its environment, and `tiny` makes the network of tests/tiny_network.py
known. In
`folder` appear `pid`, `stdout`, `stderr`, and at the end `code`, negative for
a signal as subprocess has it.
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
  """Serves until stdin ends; returns a request in the process that runs it."""
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)
  # Not sys.stdin: what Python reads ahead would be every fork's as well.
  with open(0, 'rb', buffering=0) as requests:
    for line in requests:
      request = json.loads(line)
      if not os.fork() and _watch(request):
        return request
  return None


def _watch(request: dict) -> bool:
  """Forks; True in the child, while the parent ends with the child's code."""
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  os.setsid()
  folder = pathlib.Path(request['folder'])
  child = os.fork()
  if not child:
    return True
  _leave(folder / 'pid', child)
  _, status = os.waitpid(child, 0)
  _leave(folder / 'code', os.waitstatus_to_exitcode(status))
  os._exit(0)


def _leave(path: pathlib.Path, number: int) -> None:
  """Writes a number into a file that appears whole."""
  path.with_suffix('.part').write_text(str(number))
  path.with_suffix('.part').replace(path)


def _become(request: dict) -> str:
  """Makes this process one that was started with the program's command."""
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
    os.execve(sys.executable, [sys.executable, *sys.argv], _ENVIRONMENT)
  return program


if __name__ == '__main__':
  _ENVIRONMENT = dict(os.environ)
  sys.path[0] = str(CHECKOUT)
  sys.path.append(str(CHECKOUT / 'tests'))
  from engine import conversion, flags, training, validation  # noqa: F401

  request = main()
  if request is not None:
    runpy.run_path(_become(request), run_name='__main__')
