"""Originals to contents on all cores: the same results in the same order.

What a worker imports is free of TensorFlow, so that it starts in a fraction of
a second; a program that starts workers guards its own imports in the same way.
"""

import collections
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
from typing import Any

from datasets.content import Content, UnusableError
from errors import UserError

CHUNK = 16  # items sent at once
# A worker takes longer to start than these take to convert.
ITEMS_PER_WORKER = 256


@dataclasses.dataclass(frozen=True)
class Rejected:
  """An original that cannot be used, and why."""

  name: str
  reason: str


class Workers:
  """Processes that encode; a context manager, which ends them.

  Args:
    encode: item -> Content, importable and without TensorFlow.
    processes: how many at most; as many as there are processors if None.
    items: how many there are to do in all.
  """

  def __init__(
    self,
    encode: Callable[[Any], Content],
    processes: int | None,
    items: int,
  ):
    self._encode = encode
    most = max(1, items // ITEMS_PER_WORKER)
    self._processes = min(processes or _processors(), most)
    self._pool = None

  def __enter__(self) -> 'Workers':
    if self._processes > 1:
      self._pool = futures.ProcessPoolExecutor(
        self._processes,
        # Forking a process with TensorFlow's threads can hang.
        multiprocessing.get_context('spawn'),
        initializer=_begin,
      )
    return self

  def __exit__(self, *_) -> None:
    if self._pool:
      self._pool.shutdown(cancel_futures=True)

  def encode(self, items: Iterable[Any]) -> Iterator[Content | Rejected]:
    """Content, or why there is none, of each item, in their order.

    Raises:
      UserError: if a worker dies.
    """
    items = iter(items)
    chunks = iter(lambda: list(itertools.islice(items, CHUNK)), [])
    if self._pool is None:
      results = (_encode_chunk(self._encode, chunk) for chunk in chunks)
    else:
      results = self._spread(chunks)
    yield from itertools.chain.from_iterable(results)

  def _spread(
    self, chunks: Iterable[Sequence[Any]]
  ) -> Iterator[list[Content | Rejected]]:
    """Chunks at work in all processes, a few more waiting for each."""
    pending = collections.deque()
    try:
      for chunk in chunks:
        pending.append(self._pool.submit(_encode_chunk, self._encode, chunk))
        if len(pending) > 3 * self._processes:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    except BrokenProcessPool as error:
      raise UserError(
        'A converting process died, of lack of memory perhaps: try fewer, with '
        '--num_processes=1.'
      ) from error


def _encode_chunk(
  encode: Callable[[Any], Content], items: Sequence[Any]
) -> list[Content | Rejected]:
  """What a worker does."""
  results = []
  for item in items:
    try:
      results.append(encode(item))
    except UnusableError as error:
      results.append(Rejected(item.name, str(error)))
  return results


def _begin() -> None:
  """Makes a worker leave Ctrl-C to its parent, and end when that is gone."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  parent = multiprocessing.parent_process()

  def watch():
    connection.wait([parent.sentinel])
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


def _processors() -> int:
  """How many processors this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
