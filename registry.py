"""Named tables, and names that carry options: 'cbam_block(ratio=16)'."""

import ast
import dataclasses
import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Protocol, TypeVar

from errors import UserError


class Named(Protocol):
  """Anything that can stand in a table."""

  @property
  def name(self) -> str: ...


Entry = TypeVar('Entry', bound=Named)


class Table(Mapping[str, Entry]):
  """An explicit table of records by name, in the order they are given.

  Args:
    kind: what one entry is, as it appears in errors: 'network'.
    entries: records with an attribute `name`.

  Raises:
    ValueError: if two entries have one name.
  """

  def __init__(self, kind: str, entries: Iterable[Entry]):
    self.kind = kind
    self._entries: dict[str, Entry] = {}
    for entry in entries:
      if entry.name in self._entries:
        raise ValueError(f'two entries of kind {kind} are named {entry.name!r}')
      self._entries[entry.name] = entry

  def __getitem__(self, name: str) -> Entry:
    """The entry called `name`; UserError with what exists otherwise."""
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
  """The message for a name that does not exist: value, near one, what does."""
  known = list(known)
  name = str(name)
  near = difflib.get_close_matches(name, known, n=1)
  near = near or [other for other in known if name and other.startswith(name)]
  hint = f' Did you mean {near[0]!r}?' if near else ''
  return f'Unknown {kind} {name!r}.{hint} Known: {", ".join(_folded(known))}.'


def _folded(names: Iterable[str]) -> Iterator[str]:
  """'vgg_16', '_19': what a name shares with the one before is left out."""
  before = ''
  for name in names:
    stem, line, end = name.rpartition('_')
    shared = stem == before and stem and '/' not in stem
    yield line + end if shared else name
    before = stem


def parse_name(text: str) -> tuple[str, dict[str, Any]]:
  """Splits 'name(knob=value, …)' into the name and its options.

  Values are Python literals and never evaluated as code.

  Raises:
    UserError: if the text is not a name or a name with keyword literals.
  """
  try:
    tree = ast.parse(text.strip(), mode='eval').body
    if isinstance(tree, ast.Name):
      return tree.id, {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
      raise SyntaxError
    if tree.args or any(keyword.arg is None for keyword in tree.keywords):
      raise SyntaxError
    options = {
      keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords
    }
  except (SyntaxError, ValueError) as error:
    raise UserError(
      f'Cannot read {text!r}: write a name, or a name with options such as '
      "'cbam_block(ratio=16)'; texts stand in quotes."
    ) from error
  return tree.func.id, options


@dataclasses.dataclass(frozen=True)
class Rule:
  """What the value of an option must be, in words and as a test.

  It annotates the option: Annotated[int, Rule('even', lambda v: v % 2 == 0)].
  Where a value can be written in several ways, `spell` gives the one to keep.
  """

  text: str
  holds: Callable[[Any], bool]
  spell: Callable[[Any], Any] = lambda value: value


def is_whole(value: Any) -> bool:
  """Whether it is an int; True is one to Python, but not to whoever writes it."""
  return isinstance(value, int) and not isinstance(value, bool)


Whole = Annotated[
  int, Rule('a whole number from 1', lambda v: is_whole(v) and v >= 1)
]


class Adjustable:
  """A table's entry whose function's keyword-only arguments are its options."""

  name: str
  function: Callable[..., Any]

  @property
  def defaults(self) -> dict[str, Any]:
    """Every option and its default, in the order of the function."""
    return {
      parameter.name: parameter.default
      for parameter in inspect.signature(self.function).parameters.values()
      if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }

  def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they are kept; UserError for an unknown or unfit one."""
    kept = dict(options)
    hints = typing.get_type_hints(self.function, include_extras=True)
    for option, value in options.items():
      if option not in self.defaults:
        raise UserError(
          f'{self.name} has no option {option!r}. Its options and defaults: '
          f'{_spell(self.name, self.defaults)}.'
        )
      for rule in getattr(hints[option], '__metadata__', ()):
        if not isinstance(rule, Rule):
          continue
        if not rule.holds(value):
          raise UserError(
            f'{option}={value!r} of {self.name} must be {rule.text}. Its '
            f'defaults: {_spell(self.name, self.defaults)}.'
          )
        kept[option] = rule.spell(value)
    return kept

  def spell(self, options: Mapping[str, Any]) -> str:
    """The flag value for these options; defaults go without saying."""
    changed = {
      option: options.get(option, default)
      for option, default in self.defaults.items()
      if options.get(option, default) != default
    }
    return _spell(self.name, changed)


def _spell(name: str, options: Mapping[str, Any]) -> str:
  """'name' or 'name(option=value, …)'."""
  if not options:
    return name
  knobs = ', '.join(f'{option}={value!r}' for option, value in options.items())
  return f'{name}({knobs})'
