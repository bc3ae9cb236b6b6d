"""An mkdocs hook that fills the tables of the documentation from the code.

A page asks for a table with a line of its own:

  <!-- generated: flags TrainJob -->

where the first word is a function of TABLES and the rest are its arguments. An
unknown word fails the build.
"""

import dataclasses
import json
import pathlib
import re
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# A flag in a sentence, with its value.
_FLAG = re.compile(r'--[a-z_]+(=[\w/.]*\w)?')
_MARKER = re.compile(r'^<!-- generated: (.+?) -->$', re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
  """Replaces each marker of a page by its table; called by mkdocs."""

  def table(match: re.Match[str]) -> str:
    name, *arguments = match[1].split()
    return TABLES[name](*arguments)

  return _MARKER.sub(table, markdown)


def flags(job_name: str, base_name: str | None = None) -> str:
  """The flags of a program, one table for each group.

  Args:
    job_name: the options class of the program, in engine/config/jobs.py.
    base_name: another one, whose flags are left out unless they differ.
  """
  from engine.config import jobs
  from options import GROUPS

  job = getattr(jobs, job_name)
  known = _fields(getattr(jobs, base_name)) if base_name else {}
  fields = [
    field
    for name, field in _fields(job).items()
    if name not in known or _texts(field) != _texts(known[name])
  ]
  sections = []
  for group in GROUPS:
    rows = [
      (f'`--{f.name}`&nbsp;{_type(job, f.name)}', _default(f), _meaning(f))
      for f in fields
      if f.metadata['group'] == group
    ]
    if rows:
      headings = ('flag', 'default', 'meaning')
      # The style sheet stacks the cells of these tables on narrow screens.
      table = (
        f'<div class="flags" markdown>\n\n{_table(headings, rows)}\n\n</div>'
      )
      sections += [f'## {group.capitalize()}', table]
  return '\n\n'.join(sections)


def _fields(job: type) -> dict[str, dataclasses.Field]:
  return {field.name: field for field in dataclasses.fields(job)}


def _texts(field: dataclasses.Field) -> tuple[str, str]:
  return _default(field), _meaning(field)


def _type(job: type, name: str) -> str:
  """'int', 'float', 'bool' or 'str', without None."""
  hint = typing.get_type_hints(job)[name]
  kinds = typing.get_args(hint) or (hint,)
  return next(k.__name__ for k in kinds if k is not type(None))


def _default(field: dataclasses.Field) -> str:
  """The default as code; empty for None; the same for all machines."""
  import os
  import tempfile

  if field.default in (None, ''):
    return ''
  text = str(field.default).replace(tempfile.gettempdir(), '<temp>', 1)
  text = text.replace(f'tfmodel-{os.getuid()}', 'tfmodel-<uid>')
  return f'`{text}`'


def _meaning(field: dataclasses.Field) -> str:
  """The meaning of an option, its choices and its bounds."""
  data = field.metadata
  parts = [_FLAG.sub(r'`\g<0>`', data['meaning'])]
  if data['known'] is not None:
    parts.append(f'One of: {_codes(data["known"])}.')
  bounds = (
    ('at least', data['lower']),
    ('more than', data['above']),
    ('at most', data['upper']),
  )
  given = [f'{words} {bound:g}' for words, bound in bounds if bound is not None]
  if given:
    parts.append(f'{", ".join(given).capitalize()}.')
  return ' '.join(parts)


def networks() -> str:
  """The catalogue, with the figures of tests/golden/catalogue.json."""
  from nets.nets_factory import NETWORKS
  from tools import catalogue

  golden = ROOT / 'tests' / 'golden' / 'catalogue.json'
  figures = json.loads(golden.read_text())
  rows = [
    catalogue.row(network, catalogue.Figures(**figures[name]))
    for name, network in NETWORKS.items()
  ]
  return catalogue.markdown(catalogue.HEADINGS, rows)


def architectures() -> str:
  """Every architecture of other projects, and the network that it is."""
  from weights.architectures import ARCHITECTURES

  rows = []
  for entry in sorted(ARCHITECTURES.values(), key=lambda entry: entry.network):
    flags = [f'`--preprocessing_name={entry.preprocessing}`']
    if entry.padding != 'same':
      flags.append(f'`--padding={entry.padding}`')
    if entry.attention:
      flags.append(f'`--attention_module={entry.attention}`')
    rows.append((f'`{entry.network}`', f'`{entry.name}`', ' '.join(flags)))
  return _table(('network', 'weights', 'comes with'), rows)


def releases() -> str:
  """Every published checkpoint of TF-Slim."""
  from weights.slim_releases import RELEASES

  rows = [
    (f'`slim:{entry.name}`', f'`{entry.network}`', f'{entry.accuracy}')
    for entry in RELEASES.values()
  ]
  return _table(('weights', 'network', 'top-1'), rows)


def attention() -> str:
  """Every attention module, its place and its options."""
  from nets.attention.attention_factory import ATTENTION_MODULES

  rows = [
    (f'`{name}`', f'`{module.place}`', *option)
    for name, module in ATTENTION_MODULES.items()
    for option in _options(module)
  ]
  return _table(('module', 'place', 'option', 'default', 'values'), rows)


def augmentations() -> str:
  """Every augmentation, what it changes and its options."""
  from preprocessing.augmentation import AUGMENTATIONS

  rows = [
    (f'`{name}`', kind.place, *option)
    for name, kind in AUGMENTATIONS.items()
    for option in _options(kind)
  ]
  return _table(
    ('augmentation', 'changes', 'option', 'default', 'values'), rows
  )


def preprocessings() -> str:
  """The options of every preprocessing that has some."""
  from preprocessing.preprocessing_factory import PREPROCESSINGS

  rows = [
    (f'`{name}`', *option)
    for name, preprocessing in PREPROCESSINGS.items()
    if preprocessing.defaults
    for option in _options(preprocessing)
  ]
  return _table(('preprocessing', 'option', 'default', 'values'), rows)


def recipes() -> str:
  """The files in recipes/."""
  from engine.config.recipes import FOLDER, RECIPES

  return '\n\n'.join(
    f'`{name}`:\n\n```text\n{(FOLDER / name).read_text()}```'
    for name in RECIPES
  )


def _options(entry: Any) -> list[tuple[str, str, str]]:
  """Option, default and accepted values of an entry with options."""
  hints = typing.get_type_hints(entry.function, include_extras=True)
  options = []
  for name, default in entry.defaults.items():
    rules = getattr(hints[name], '__metadata__', ())
    values = rules[0].text if rules else hints[name].__name__
    options.append((f'`{name}`', f'`{default!r}`', values))
  return options or [('', '', '')]


def api(*names: str) -> str:
  """The public names of some modules, for mkdocstrings.

  Args:
    *names: of modules, or folders of packages, such as nets/attention.
  """
  modules = []
  for name in names:
    folder = ROOT / name
    files = sorted(folder.glob('*.py')) if folder.is_dir() else []
    stems = [path.stem for path in files if path.stem != '__init__']
    package = name.replace('/', '.')
    modules += [f'{package}.{stem}' for stem in stems] if stems else [package]
  return '\n\n'.join(f'::: {module}' for module in modules)


def contributing() -> str:
  """CONTRIBUTING.md without its title."""
  text = (ROOT / 'CONTRIBUTING.md').read_text()
  return text.partition('\n')[2]


def _codes(names: Iterable[str]) -> str:
  return ', '.join(f'`{name}`' for name in names)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A Markdown table; a | in a cell is escaped."""
  lines = [headings, ['---'] * len(headings), *rows]
  return '\n'.join(
    f'| {" | ".join(cell.replace("|", "&#124;") for cell in line)} |'
    for line in lines
  )


TABLES: dict[str, Callable[..., str]] = {
  'flags': flags,
  'networks': networks,
  'architectures': architectures,
  'releases': releases,
  'attention': attention,
  'augmentations': augmentations,
  'preprocessings': preprocessings,
  'recipes': recipes,
  'api': api,
  'contributing': contributing,
}
