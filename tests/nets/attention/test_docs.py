"""docs/reference/attention.md says of every module what its code says."""

import inspect
import math
import pathlib
import re

import pytest

from nets.attention.attend import BLOCK, STAGE, attend
from nets.attention.attention_factory import (
  ATTENTION_MODULES,
  PLACEMENTS,
  get_attention,
)
from tf_compat import tf

ROOT = pathlib.Path(__file__).parents[3]
DOCS = ROOT / 'docs' / 'reference' / 'attention.md'


def table(heading: str) -> dict[str, list[str]]:
  """The rows of the table whose second heading this is, by their module."""
  text = DOCS.read_text()
  rows = text.partition(f'| module | {heading} |')[2].split('\n\n')[0]
  cells = [
    [cell.strip() for cell in row.strip('|').split(' | ')]
    for row in rows.splitlines()[2:]
  ]
  return {row[0].strip(' `'): row[1:] for row in cells}


def value(formula: str, **names) -> int:
  """A formula of the table as a number."""
  python = formula.replace('·', '*').replace('²', '**2')
  functions = {'log2': math.log2, 'gcd': math.gcd, 'max': max, 'int': int}
  return eval(python, functions | names)


def test_every_kind_has_its_rows_in_order():
  assert list(table('formula')) == list(ATTENTION_MODULES)
  assert list(table('parameters')) == list(ATTENTION_MODULES)


@pytest.mark.parametrize('name', list(ATTENTION_MODULES))
def test_paper(name):
  (link,) = re.findall(r'\((https:.*?)\)', table('formula')[name][1])
  assert link in inspect.getmodule(ATTENTION_MODULES[name].function).__doc__


def test_every_kind_is_compared_with_its_authors_code():
  """One row each, whose spellings are of this module and can be read."""
  rows = table("default here, and why | as the authors' code | as timm")
  assert list(rows) == list(ATTENTION_MODULES)
  for name, cells in rows.items():
    spellings = re.findall(r'`(\w+_block(?:\(.*?\))?)`', ' '.join(cells))
    assert {get_attention(text).name for text in spellings} == {name}
    for placement in re.findall(r'placed `(\w+)`', ' '.join(cells)):
      assert placement in PLACEMENTS


@pytest.mark.parametrize('channels', [1, 3, 20, 64, 256, 2048])
@pytest.mark.parametrize('name', list(ATTENTION_MODULES))
def test_parameters(graph, name, channels):
  parameters, hidden = table('parameters')[name]
  names = ATTENTION_MODULES[name].defaults | {'C': channels}
  attend(tf.zeros([1, 2, 2, channels]), get_attention(name), at=(BLOCK, STAGE))
  assert sum(v.shape.num_elements() for v in tf.trainable_variables()) == value(
    parameters, **names, h=value(hidden, **names)
  )
