"""A pool of processes that encodes originals and keeps their order.

Worker processes do not import TensorFlow, so that they start in a fraction of a
second; neither may the main module of a program that starts them.
"""

import collections
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from multiprocessing import connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from datasets.example_features import UnusableError
from errors import UserError

CHUNK = 16  # items sent in one message
# Converting fewer takes less time than starting a process.
ITEMS_PER_WORKER = 256

_SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP

Result = TypeVar('Result')

# In a worker, the lock that all workers of its pool share.
_lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()


def one_at_a_time() -> contextlib.AbstractContextManager[Any]:
  """Returns a context that one worker of the pool at a time can be in."""
  return _lock


@dataclasses.dataclass(frozen=True)
class Rejection:
  """An original that cannot be used, and the reason."""

  name: str
  reason: str


class ProcessPool(Generic[Result]):
  """Worker processes that apply a function; a context manager ends them.

  Each worker has a pipe of its own, which tells when it dies, even while it
  sends: concurrent.futures would then wait forever.

  Args:
    encode: item -> result, such as ExampleFeatures; it raises UnusableError
      for an item to reject. It must be importable without TensorFlow.
    processes: maximum number of processes; one per processor if None.
    items: total number of items, which limits the number of processes.
  """

  def __init__(
    self,
    encode: Callable[[Any], Result],
    processes: int | None,
    items: int,
  ):
    self._encode = encode
    useful = max(1, items // ITEMS_PER_WORKER)
    self._size = min(processes or _processors(), useful)
    self._workers: list[BaseProcess] = []
    self._idle: queue.SimpleQueue[connection.Connection] = queue.SimpleQueue()
    self._threads: futures.ThreadPoolExecutor | None = None

  def __enter__(self) -> 'ProcessPool[Result]':
    if self._size > 1:
      # Forking a process with TensorFlow's threads can hang.
      context = multiprocessing.get_context('spawn')
      with _signals_blocked():
        # Workers find it while it is referenced. The tracker of locks, which
        # this starts, unblocks signals.
        self._lock = context.Lock()
      with _signals_blocked():
        for _ in range(self._size):
          self._start_worker(context)
      self._threads = futures.ThreadPoolExecutor(self._size)
    return self

  def _start_worker(self, context: SpawnContext) -> None:
    ours, theirs = context.Pipe()
    arguments = theirs, self._encode, self._lock
    worker = context.Process(target=_work, args=arguments, daemon=True)
    worker.start()
    theirs.close()  # The worker alone holds it, so that it closes with it.
    self._workers.append(worker)
    self._idle.put(ours)

  def __exit__(self, *_) -> None:
    for worker in self._workers:
      worker.kill()
    if self._threads:
      self._threads.shutdown(cancel_futures=True)
    for worker in self._workers:
      worker.join()

  def encode(self, items: Iterable[Any]) -> Iterator[Result | Rejection]:
    """Yields the result or rejection of each item, in order.

    Raises:
      UserError: if a worker process dies.
    """
    items = iter(items)
    chunks = iter(lambda: list(itertools.islice(items, CHUNK)), [])
    results: Iterator[list[Result | Rejection]]
    if self._threads is None:
      results = (_encode_chunk(self._encode, chunk) for chunk in chunks)
    else:
      results = self._spread(self._threads, chunks)
    yield from itertools.chain.from_iterable(results)

  def _spread(
    self, threads: futures.ThreadPoolExecutor, chunks: Iterable[Sequence[Any]]
  ) -> Iterator[list[Result | Rejection]]:
    """Yields the results of chunks; queues a few per process in advance."""
    pending: collections.deque[futures.Future] = collections.deque()
    for chunk in chunks:
      pending.append(threads.submit(self._exchange, chunk))
      if len(pending) > 3 * self._size:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()

  def _exchange(self, chunk: Sequence[Any]) -> list[Result | Rejection]:
    """Returns the results of a chunk from the next idle worker."""
    worker = self._idle.get()
    try:
      worker.send(chunk)
      answer = worker.recv()
    except (EOFError, OSError) as error:
      raise UserError(
        'A worker process died, perhaps for lack of memory: try fewer with '
        '--num_processes=1.'
      ) from error
    finally:
      self._idle.put(worker)
    if isinstance(answer, str):
      raise RuntimeError(f'A worker process failed:\n{answer}')
    return answer


def _encode_chunk(
  encode: Callable[[Any], Result], items: Sequence[Any]
) -> list[Result | Rejection]:
  """Returns the results and rejections of a chunk; runs in a worker."""
  results: list[Result | Rejection] = []
  for item in items:
    try:
      results.append(encode(item))
    except UnusableError as error:
      results.append(Rejection(item.name, str(error)))
  return results


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
  """Delays signals until after the body.

  Processes that it starts inherit this: a signal to all of them ends neither
  workers that do not handle it yet nor multiprocessing's tracker of locks.
  """
  before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(
  pipe: connection.Connection,
  encode: Callable[[Any], Any],
  lock: contextlib.AbstractContextManager[Any],
) -> None:
  """Answers each chunk with its results, or a trace, until the pipe closes."""
  global _lock
  _lock = lock
  _follow_parent()
  with contextlib.suppress(EOFError, OSError):
    while True:
      chunk = pipe.recv()
      try:
        answer: Any = _encode_chunk(encode, chunk)
      except Exception:
        answer = traceback.format_exc()
      pipe.send(answer)


def _follow_parent() -> None:
  """Makes a worker ignore Ctrl-C and hang-ups, and end with its parent."""
  # A terminal sends them to all processes; the parent ends the workers.
  for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
  signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
  parent = multiprocessing.parent_process()
  if parent is None:
    return
  sentinel = parent.sentinel

  def watch() -> None:
    connection.wait([sentinel])
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


def _processors() -> int:
  """Returns the number of processors that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
