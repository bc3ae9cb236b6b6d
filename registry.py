"""Tables of named entries, and names with options: 'cbam_block(ratio=16)'."""

import ast
import dataclasses
import difflib
import inspect
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Protocol, TypeVar

from errors import UserError

# Options are numbers of TensorFlow, the smallest of which have 32 bits.
_TOO_LARGE = 1 << 31
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


class Named(Protocol):
  """The type of a table's entries."""

  @property
  def name(self) -> str: ...


Entry = TypeVar('Entry', bound=Named)


class Table(Mapping[str, Entry]):
  """An explicit mapping from names to entries, in the order of definition.

  Args:
    kind: the word for an entry in error messages, such as 'network'.
    entries: specs with an attribute `name`.

  Raises:
    ValueError: if two entries have the same name.
  """

  def __init__(self, kind: str, entries: Iterable[Entry]):
    self.kind = kind
    self._entries: dict[str, Entry] = {}
    for entry in entries:
      if entry.name in self._entries:
        raise ValueError(f'two entries of kind {kind} are named {entry.name!r}')
      self._entries[entry.name] = entry

  def __getitem__(self, name: str) -> Entry:
    """Returns the entry called `name`; raises UserError if there is none."""
    if name not in self._entries:
      raise UserError(unknown(self.kind, name, self._entries))
    return self._entries[name]

  def __contains__(self, name: object) -> bool:
    return name in self._entries

  def __iter__(self) -> Iterator[str]:
    return iter(self._entries)

  def __len__(self) -> int:
    return len(self._entries)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
  """Returns the message for an unknown name: a similar one, all known ones."""
  known = list(known)
  name = str(name)
  similar = difflib.get_close_matches(name, known, n=1)
  similar = similar or [
    other for other in known if name and other.startswith(name)
  ]
  hint = f' Did you mean {similar[0]!r}?' if similar else ''
  return (
    f'Unknown {kind} {abbreviated(name)}.{hint} Known: '
    f'{", ".join(_folded(known))}.'
  )


def _folded(names: Iterable[str]) -> Iterator[str]:
  """Yields names without the stem of the name before: 'vgg_16', '_19'."""
  previous = ''
  for name in names:
    stem, separator, end = name.rpartition('_')
    is_shared = stem == previous and stem and '/' not in stem
    yield separator + end if is_shared else name
    previous = stem


def abbreviated(value: object) -> str:
  """Returns a value as Python spells it, if long without its middle."""
  return _SHORT.repr(value)


def parse_name(text: str) -> tuple[str, dict[str, Any]]:
  """Splits 'name(option=value, …)' into the name and its options.

  Values are Python literals; they are never evaluated as code.

  Raises:
    UserError: if the text is neither a name nor a name with options.
  """
  try:
    tree = ast.parse(text.strip(), mode='eval').body
    if isinstance(tree, ast.Name):
      return tree.id, {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
      raise SyntaxError
    names = [keyword.arg for keyword in tree.keywords]
    if tree.args or None in names or len({*names}) < len(names):
      raise SyntaxError
    options = {
      str(keyword.arg): ast.literal_eval(keyword.value)
      for keyword in tree.keywords
    }
  # A key that is a list is a TypeError; the others are of deep nesting.
  except (
    SyntaxError,
    ValueError,
    TypeError,
    RecursionError,
    MemoryError,
  ) as error:
    raise UserError(
      f'Cannot read {abbreviated(text)}: write a name, or a name with options '
      "such as 'cbam_block(ratio=16)'; strings need quotes."
    ) from error
  return tree.func.id, options


@dataclasses.dataclass(frozen=True)
class Rule:
  """A condition on the value of an option, in words and as a predicate.

  It annotates the option: Annotated[int, Rule('even', lambda v: v % 2 == 0)].

  Attributes:
    text: the condition in words, which follow "must be".
    holds: whether a value meets the condition.
    spell: returns the canonical form of a value that can be written in several
      ways.
  """

  text: str
  holds: Callable[[Any], bool]
  spell: Callable[[Any], Any] = lambda value: value


def is_int(value: Any) -> bool:
  """Whether the value is an int; bool, a subclass of int in Python, is not."""
  return isinstance(value, int) and not isinstance(value, bool)


def one_of(*values: Any) -> Rule:
  """Returns the rule that a value is one of these."""
  return Rule(f'one of {", ".join(map(repr, values))}', lambda v: v in values)


PositiveInt = Annotated[
  int, Rule('a whole number from 1', lambda v: is_int(v) and v >= 1)
]


class Adjustable:
  """An entry whose options are the keyword-only arguments of its function."""

  name: str
  function: Callable[..., Any]

  @property
  def defaults(self) -> dict[str, Any]:
    """Every option and its default, in the order of the signature."""
    return {
      parameter.name: parameter.default
      for parameter in inspect.signature(self.function).parameters.values()
      if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }

  def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks options and returns them in canonical form.

    Raises:
      UserError: for an unknown option, or a value that breaks its rule.
    """
    canonical = dict(options)
    hints = _hints(self.function, self.defaults)
    for option, value in options.items():
      if not self.defaults:
        raise UserError(f'{self.name} has no options: leave out {option!r}.')
      if option not in self.defaults:
        raise UserError(
          f'{self.name} has no option {option!r}. Its options and defaults: '
          f'{_spell(self.name, self.defaults)}.'
        )
      if isinstance(value, int | float) and not abs(value) < _TOO_LARGE:
        raise UserError(
          f'{option}={abbreviated(value)} of {self.name} must be below '
          f'{_TOO_LARGE}. Its defaults: {_spell(self.name, self.defaults)}.'
        )
      for rule in getattr(hints[option], '__metadata__', ()):
        if not isinstance(rule, Rule):
          continue
        if not rule.holds(value):
          raise UserError(
            f'{option}={abbreviated(value)} of {self.name} must be {rule.text}. '
            f'Its defaults: {_spell(self.name, self.defaults)}.'
          )
        canonical[option] = rule.spell(value)
    return canonical

  def spell(self, options: Mapping[str, Any]) -> str:
    """Returns the flag value for these options, without those at default."""
    changed = {
      option: options.get(option, default)
      for option, default in self.defaults.items()
      if options.get(option, default) != default
    }
    return _spell(self.name, changed)


def _hints(function: Callable, names: Collection[str]) -> dict[str, Any]:
  """Evaluates the annotations of some parameters of a function.

  Those of the other parameters may name TensorFlow, which must not be loaded.
  """
  annotations = inspect.get_annotations(function)
  selection = types.SimpleNamespace(
    __annotations__={name: annotations[name] for name in names}
  )
  return typing.get_type_hints(
    selection, vars(sys.modules[function.__module__]), include_extras=True
  )


def _spell(name: str, options: Mapping[str, Any]) -> str:
  """'name' or 'name(option=value, …)'."""
  if not options:
    return name
  items = ', '.join(f'{option}={value!r}' for option, value in options.items())
  return f'{name}({items})'
