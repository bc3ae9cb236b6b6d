"""Damages of a file, as disks, transfers and editors make them."""

import pathlib
import random
from collections.abc import Callable

_TEXTS = [
  b'"',
  b'\n',
  b',',
  b'\0',
  b'[' * 3000,
  b'NaN',
  b'-1',
  b'9' * 5000,
  b'\xff',
]


def flip_bit(data: bytearray, rng: random.Random) -> None:
  data[_place(data, rng)] ^= 1 << rng.randrange(8)


def set_byte(data: bytearray, rng: random.Random) -> None:
  data[_place(data, rng)] = rng.randrange(256)


def truncate(data: bytearray, rng: random.Random) -> None:
  del data[_place(data, rng) :]


def insert_bytes(data: bytearray, rng: random.Random) -> None:
  place = _place(data, rng)
  data[place:place] = rng.randbytes(rng.randint(1, 20))


def insert_text(data: bytearray, rng: random.Random) -> None:
  place = _place(data, rng)
  data[place:place] = rng.choice(_TEXTS)


def clear_block(data: bytearray, rng: random.Random) -> None:
  place = _place(data, rng)
  length = min(len(data) - place, rng.choice([1, 16, 512]))
  data[place : place + length] = bytes(length)


def enlarge_number(data: bytearray, rng: random.Random) -> None:
  place = _place(data, rng)
  data[place : place + 4] = b'\xff\xff\xff\x7f'


def repeat_part(data: bytearray, rng: random.Random) -> None:
  place = _place(data, rng)
  data += data[place : place + 1000]


def empty(data: bytearray, rng: random.Random) -> None:
  data.clear()


def replace(data: bytearray, rng: random.Random) -> None:
  data[:] = rng.randbytes(rng.randint(1, 200))


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [
  flip_bit, set_byte, truncate, insert_bytes, insert_text, clear_block,
  enlarge_number, repeat_part, empty, replace,
]  # fmt: skip


def damage(path: pathlib.Path, rng: random.Random) -> str:
  """Damages a file in one of the ways; returns the way's name.

  One in fifty becomes a folder.
  """
  data = bytearray(path.read_bytes())
  path.unlink()
  if not rng.randrange(50):
    path.mkdir()
    return 'folder'
  way = rng.choice(DAMAGES if data else [replace])
  way(data, rng)
  path.write_bytes(data)
  return way.__name__


def _place(data: bytearray, rng: random.Random) -> int:
  """Returns a place, as often in the first 100 bytes as anywhere."""
  return rng.randrange(min(len(data), rng.choice([100, len(data)])))
