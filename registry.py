"""Named tables, and names that carry options: 'cbam_block(ratio=16)'."""

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

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
  near = difflib.get_close_matches(str(name), known, n=1)
  hint = f' Did you mean {near[0]!r}?' if near else ''
  return f'Unknown {kind} {name!r}.{hint} Known: {", ".join(known)}.'


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
