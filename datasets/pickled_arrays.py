"""Reads a pickled dict of NumPy arrays without calling what the pickle names.

A pickle is a program for a stack machine that can call any function, ask for any
amount of memory, and share values so that walking them never ends. This machine
knows only the operations that plain containers and arrays need.
"""

import math
import pickletools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

# Operations whose argument is the value.
_VALUES = [
  'INT',
  'BININT',
  'BININT1',
  'BININT2',
  'LONG',
  'LONG1',
  'LONG4',
  'FLOAT',
  'BINFLOAT',
  'BINBYTES',
  'SHORT_BINBYTES',
  'BINBYTES8',
  'STRING',
  'BINSTRING',
  'SHORT_BINSTRING',
  'UNICODE',
  'BINUNICODE',
  'SHORT_BINUNICODE',
  'BINUNICODE8',
]
_CONSTANTS: Mapping[str, Any] = {
  'NONE': None,
  'NEWTRUE': True,
  'NEWFALSE': False,
  'EMPTY_TUPLE': (),
}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
# Largest memory of a container, or of a place in the memo or a dict, in bytes.
_COST = 100
_EXPANSION = 10  # times the pickle's size


def load(data: bytes) -> dict[str, Any]:
  """Returns a pickled dict; its values are arrays of whole numbers, or others.

  Raises:
    Exception: of any kind if the bytes are not such a pickle. None makes this
      run code, or take more memory than a small multiple of its size.
  """
  content = _Machine(len(data)).run(data)
  if not isinstance(content, dict):
    raise ValueError(f'it contains a {type(content).__name__}, not a dict')
  return {
    key.decode() if isinstance(key, bytes) else key: (
      value.array() if isinstance(value, _Array) else value
    )
    for key, value in content.items()
  }


class _Type:
  """A pickled dtype; `build` sets the order of its bytes."""

  def __init__(self, code: Any, *_: Any) -> None:
    self.code, self.order = code, '|'

  def build(self, state: Any) -> None:
    self.order = state[1]

  def dtype(self) -> np.dtype:
    """Returns the type; raises ValueError unless it is of whole numbers."""
    name = f'{self.order:.1}{self.code:.3}'
    if not re.fullmatch('[<>=|][iu][1248]', name):
      raise ValueError(f'it contains an array of {name}, not of whole numbers')
    return np.dtype(name)


class _Array:
  """A pickled array; `build` sets its content."""

  def __init__(self, *_: Any) -> None:
    self._state: Any = None

  def build(self, state: Any) -> None:
    self._state = state

  def array(self) -> np.ndarray:
    """Returns the array; raises ValueError if its parts do not match."""
    _, shape, kind, is_fortran, data = self._state
    if isinstance(data, str):  # Python 2 wrote bytes as text.
      data = data.encode('latin1')
    dtype = kind.dtype()
    # Numbers without bound would take long to multiply.
    if not all(0 <= length <= len(data) for length in shape[:3]):
      raise ValueError('its array is truncated')
    if len(shape) > 2 or math.prod(shape) * dtype.itemsize != len(data):
      raise ValueError('its array is not of its shape')
    order: Any = 'F' if is_fortran else 'C'
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: str, _: Any) -> bytes:
  """Returns bytes that Python 3 wrote for the protocol of Python 2."""
  return text.encode('latin1')


# What a pickle may name; only the last argument of the first is no function.
_NAMES: Mapping[str, Any] = {
  'numpy ndarray': None,
  'numpy dtype': _Type,
  '_codecs encode': _encode,
  # By the version of NumPy that wrote the pickle.
  'numpy.core.multiarray _reconstruct': _Array,
  'numpy._core.multiarray _reconstruct': _Array,
}


class _Machine:
  """The stack and the memo of a pickle of some bytes."""

  def __init__(self, size: int) -> None:
    self._stack: list[Any] = []
    self._marks: list[int] = []
    self._memo: dict[int, Any] = {}
    self._room = _EXPANSION * size + (1 << 16)

  def run(self, data: bytes) -> Any:
    """Returns the value that a pickle describes."""
    # It raises for lengths beyond the end.
    for opcode, argument, _ in pickletools.genops(data):
      if opcode.name in _VALUES:
        self._stack.append(argument)
      elif opcode.name in _CONSTANTS:
        self._stack.append(_CONSTANTS[opcode.name])
      else:
        self._execute(opcode.name, argument)
    return self._stack.pop()

  def _execute(self, name: str, argument: Any) -> None:
    match name:
      case 'PROTO' | 'FRAME' | 'STOP':
        pass
      case 'MARK':
        self._marks.append(len(self._stack))
      case 'PUT' | 'BINPUT' | 'LONG_BINPUT':
        self._remember(argument)
      case 'MEMOIZE':
        self._remember(len(self._memo))
      case 'GET' | 'BINGET' | 'LONG_BINGET':
        self._stack.append(self._memo[argument])
      case 'EMPTY_LIST' | 'EMPTY_DICT':
        self._push([] if name == 'EMPTY_LIST' else {})
      case 'LIST':
        self._push(self._marked())
      case 'DICT':
        items = self._marked()
        self._push({})
        self._set(items)
      case 'TUPLE':
        self._push(tuple(self._marked()))
      case 'TUPLE1' | 'TUPLE2' | 'TUPLE3':
        self._push(tuple(self._pop(_TUPLES[name])))
      case 'APPEND' | 'APPENDS':
        items = self._pop(1) if name == 'APPEND' else self._marked()
        self._top(list).extend(items)
      case 'SETITEM' | 'SETITEMS':
        self._set(self._pop(2) if name == 'SETITEM' else self._marked())
      case 'GLOBAL':
        self._name(argument)
      case 'STACK_GLOBAL':
        self._name('{:.99} {:.99}'.format(*self._pop(2)))
      case 'REDUCE':
        self._call(*self._pop(2))
      case 'BUILD':
        (state,) = self._pop(1)
        self._top(_Type, _Array).build(state)
      case _:
        raise ValueError(f'it contains the operation {name}')

  def _take(self, size: int) -> None:
    """Raises ValueError if the pickle has used its memory."""
    self._room -= size
    if self._room < 0:
      raise ValueError('it takes too much memory')

  def _push(self, value: Any) -> None:
    self._take(_COST + (len(value) if isinstance(value, bytes) else 0))
    self._stack.append(value)

  def _pop(self, count: int) -> list[Any]:
    """Removes and returns the last values."""
    if count > len(self._stack):
      raise ValueError('it takes values that are not there')
    values = self._stack[-count:]
    del self._stack[-count:]
    return values

  def _marked(self) -> list[Any]:
    """Removes and returns the values after the last mark."""
    start = self._marks.pop()
    values = self._stack[start:]
    del self._stack[start:]
    return values

  def _top(self, *kinds: type) -> Any:
    """Returns the last value; raises ValueError if it is of another kind."""
    value = self._stack[-1]
    if not isinstance(value, kinds):
      raise ValueError(f'it changes a {type(value).__name__}')
    return value

  def _remember(self, place: int) -> None:
    self._take(_COST)
    self._memo[place] = self._stack[-1]

  def _set(self, items: list[Any]) -> None:
    """Adds alternating keys and values to the last dict."""
    target = self._top(dict)
    self._take(_COST * len(items))
    for key, value in zip(items[::2], items[1::2], strict=True):
      # The hash of a nested tuple can take forever.
      if not isinstance(key, str | bytes):
        raise ValueError(f'it contains a key of type {type(key).__name__}')
      target[key] = value

  def _name(self, name: str) -> None:
    """Pushes what a pickle may name."""
    if name not in _NAMES:
      raise ValueError(f'it asks for {name.replace(" ", ".", 1)}')
    self._stack.append(_NAMES[name])

  def _call(self, function: Any, arguments: Any) -> None:
    if function not in (_Type, _Array, _encode):
      raise ValueError(f'it calls a {type(function).__name__}')
    self._push(function(*arguments))
