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
  pictures: whether to write plots; otherwise, they are only composed.
"""

import atexit
import gc
import importlib
import json
import os
import pathlib
import resource
import runpy
import signal
import sys
import threading

CHECKOUT = pathlib.Path(__file__).parents[2]
_MODULES = (
  'engine.evaluation.continuous', 'engine.training.loop', 'tools.catalogue',
  'tools.comparison.compare', 'tools.conversion', 'tools.export.export',
  'tools.inspection', 'tools.report.after_training',
  'tools.visualization.visualize', 'matplotlib.backends.backend_agg',
)  # fmt: skip


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
  if not request['pictures']:
    plot_style = importlib.import_module('engine.plots.style')
    plot_style.save = importlib.import_module('tiny_plots').save
  sys.argv = [program, *request['flags']]
  if request['cold']:
    environ = {**_ENVIRONMENT, **request['environ']}
    os.execve(sys.executable, [sys.executable, *sys.argv], environ)
  return program


def _run(program: str) -> None:
  """Runs a program; skips only Python's taking itself apart at the end.

  Which frees a gigabyte of modules, object by object.
  """
  try:
    runpy.run_path(program, run_name='__main__')
  except SystemExit as end:
    if not isinstance(end.code, int):
      raise
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code)


def _preload() -> None:
  """Imports what the programs import."""
  from tf_compat import tf

  # Modules load TensorFlow at their first use of it.
  assert tf.VERSION
  for name in _MODULES:
    importlib.import_module(name)
  # Otherwise, the garbage collection of each fork would copy all pages.
  gc.collect()
  gc.freeze()


if __name__ == '__main__':
  _ENVIRONMENT = dict(os.environ)
  sys.path[0] = str(CHECKOUT)
  sys.path.append(str(CHECKOUT / 'tests'))
  _preload()
  request = main()
  if request is not None:
    _run(_set_up(request))
