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
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from datasets.example_features import UnusableError
from errors import UserError

CHUNK = 16  # items sent in one message
# Converting fewer takes less time than starting a process.
ITEMS_PER_WORKER = 256

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
    self._processes = min(processes or _processors(), useful)
    self._pool: futures.ProcessPoolExecutor | None = None

  def __enter__(self) -> 'ProcessPool[Result]':
    if self._processes > 1:
      # Forking a process with TensorFlow's threads can hang.
      context = multiprocessing.get_context('spawn')
      self._pool = futures.ProcessPoolExecutor(
        self._processes, context, _initialize_worker, (context.Lock(),)
      )
    return self

  def __exit__(self, *_) -> None:
    if self._pool:
      self._pool.shutdown(cancel_futures=True)

  def encode(self, items: Iterable[Any]) -> Iterator[Result | Rejection]:
    """Yields the result or rejection of each item, in order.

    Raises:
      UserError: if a worker process dies.
    """
    items = iter(items)
    chunks = iter(lambda: list(itertools.islice(items, CHUNK)), [])
    results: Iterator[list[Result | Rejection]]
    if self._pool is None:
      results = (_encode_chunk(self._encode, chunk) for chunk in chunks)
    else:
      results = self._spread(self._pool, chunks)
    yield from itertools.chain.from_iterable(results)

  def _spread(
    self, pool: futures.ProcessPoolExecutor, chunks: Iterable[Sequence[Any]]
  ) -> Iterator[list[Result | Rejection]]:
    """Yields the results of chunks; queues a few per process in advance."""
    pending: collections.deque[futures.Future] = collections.deque()
    try:
      for chunk in chunks:
        pending.append(pool.submit(_encode_chunk, self._encode, chunk))
        if len(pending) > 3 * self._processes:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    except BrokenProcessPool as error:
      raise UserError(
        'A worker process died, perhaps for lack of memory: try fewer with '
        '--num_processes=1.'
      ) from error


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


def _initialize_worker(lock: contextlib.AbstractContextManager[Any]) -> None:
  """Makes a worker ignore Ctrl-C and hang-ups, and end with its parent."""
  global _lock
  _lock = lock
  # A terminal sends them to all processes; the parent ends the workers.
  for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
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
