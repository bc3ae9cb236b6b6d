"""Tables, the message for unknown names, and names with options."""

import dataclasses
import re
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from errors import UserError
from registry import (
  Adjustable,
  PositiveInt,
  Rule,
  Table,
  is_int,
  parse_name,
  unknown,
)


@dataclasses.dataclass(frozen=True)
class Fruit:
  name: str
  color: str = 'green'


FRUITS = Table('fruit', map(Fruit, ('pear', 'apple', 'quince')))


def test_a_table_is_a_mapping_in_the_order_of_definition():
  assert list(FRUITS) == ['pear', 'apple', 'quince']
  assert list(FRUITS.values()) == list(map(Fruit, FRUITS))
  assert len(FRUITS) == 3
  assert FRUITS['apple'] == Fruit('apple')
  assert 'apple' in FRUITS
  assert 'appel' not in FRUITS
  assert None not in FRUITS


def test_a_table_names_what_it_contains_when_a_name_is_unknown():
  with pytest.raises(
    UserError,
    match=r"^Unknown fruit 'appel'\. Did you mean 'apple'\? "
    r'Known: pear, apple, quince\.$',
  ):
    FRUITS['appel']


def test_two_entries_with_the_same_name_are_refused():
  with pytest.raises(
    ValueError, match=r"^two entries of kind fruit are named 'fig'$"
  ) as error:
    Table('fruit', [Fruit('fig'), Fruit('pear'), Fruit('fig', 'blue')])
  # A mistake in the code, not by the user.
  assert not isinstance(error.value, UserError)


@pytest.mark.parametrize(
  ('name', 'known', 'message'),
  [
    ('lenett', ['lenet', 'vgg'], "'lenett'. Did you mean 'lenet'? Known: lene"),
    # Too short to be similar, but its beginning is.
    ('re', ['lenet', 'resnet_v1_50'], "'re'. Did you mean 'resnet_v1_50'?"),
    ('x', ['lenet'], "Unknown net 'x'. Known: lenet."),
    ('', ['lenet'], "Unknown net ''. Known: lenet."),
    (7, ['lenet'], "Unknown net '7'. Known: lenet."),
    (None, ['lenet'], "Unknown net 'None'. Known: lenet."),
    ('x', [], "Unknown net 'x'. Known: ."),
    ('x', iter(['vgg_a', 'vgg_16', 'vgg_19']), 'Known: vgg_a, _16, _19.'),
    (
      'x',
      ['v1_18', 'v1_34', 'v2_18', 'v2_50', 'v1_50', 'a', 'b'],
      'Known: v1_18, _34, v2_18, _50, v1_50, a, b.',
    ),
    # A scope is copied to a flag: it stays in one piece.
    ('x', ['net/conv_1', 'net/conv_2'], 'Known: net/conv_1, net/conv_2.'),
  ],
)
def test_the_message_for_an_unknown_name(name, known, message):
  assert message in unknown('net', name, known)


@pytest.mark.parametrize(
  ('text', 'name', 'options'),
  [
    ('se_block', 'se_block', {}),
    (' se_block\n', 'se_block', {}),
    ('se_block()', 'se_block', {}),
    ('cbam_block(ratio=16)', 'cbam_block', {'ratio': 16}),
    (
      "f( a = -1.5e-3,b='x=(1)', c=(1, 2), d=['é'], e=None, f=True, g={} )",
      'f',
      {
        'a': -0.0015,
        'b': 'x=(1)',
        'c': (1, 2),
        'd': ['é'],
        'e': None,
        'f': True,
        'g': {},
      },
    ),
  ],
)
def test_a_name_and_its_options_are_parsed(text, name, options):
  assert parse_name(text) == (name, options)


@pytest.mark.parametrize(
  'text',
  [
    '',
    ' ',
    '2d_block',
    'se-block',
    'nets.se_block',
    'se block',
    '"se_block"',
    'se_block(16)',
    'se_block(16, ratio=8)',
    'se_block(**{"ratio": 8})',
    'se_block(ratio=8',
    'se_block(ratio=8))',
    'se_block(ratio=8)()',
    'se_block(pool=avg)',
    'se_block(ratio=4 * 2)',
    'se_block(ratio=[n for n in (1, 2)])',
    'se_block; cbam_block',
    'se_block\x00',
    'se_block(ratio={[]: 1})',
    'se_block(ratio=8, ratio=16)',
  ],
)
def test_other_texts_are_refused_with_an_example(text):
  with pytest.raises(
    UserError,
    match=rf'^Cannot read {re.escape(repr(text))}: .*'
    r"'cbam_block\(ratio=16\)'.*quotes\.$",
  ):
    parse_name(text)


@pytest.mark.parametrize(
  'value', ['9' * 5000, '[' * 50_000, '(' * 50_000, '-' * 50_000 + '1']
)
def test_values_that_python_cannot_parse_are_refused_in_a_short_line(value):
  with pytest.raises(UserError, match=r'^Cannot read .*\.\.\.') as refused:
    parse_name(f'se_block(ratio={value})')
  assert len(str(refused.value)) < 300


def test_the_value_of_an_option_is_never_evaluated(tmp_path):
  mark = tmp_path / 'ran'
  with pytest.raises(UserError, match='Cannot read'):
    parse_name(f'se_block(ratio=open({str(mark)!r}, "w"))')
  assert not mark.exists()


@dataclasses.dataclass(frozen=True)
class Filter(Adjustable):
  name: str
  function: Callable[..., Any]


POOLS = Rule(
  'max or avg', lambda v: str(v).lower() in ('max', 'avg'), str.lower
)


def blur(
  # Nothing here can be imported: a check must not need it.
  image: 'not_installed.Image',  # noqa: F821
  seed: 'not_installed.Seed' = None,  # noqa: F821
  *,
  size: PositiveInt = 3,
  pool: 'Annotated[str, POOLS, "no rule"]' = 'max',
  odd: Annotated[
    int,
    Rule('a number', is_int),
    Rule('odd', lambda v: v % 2 == 1),
  ] = 1,
  free: Any = None,
):
  """Takes options with one rule, two, and none."""


BLUR = Filter('blur', blur)


def test_the_keyword_only_arguments_are_the_options():
  assert list(BLUR.defaults.items()) == [
    ('size', 3),
    ('pool', 'max'),
    ('odd', 1),
    ('free', None),
  ]


@pytest.mark.parametrize(
  ('options', 'canonical'),
  [
    ({}, {}),
    ({'size': 1}, {'size': 1}),
    ({'pool': 'AVG', 'free': [1]}, {'pool': 'avg', 'free': [1]}),
  ],
)
def test_options_come_back_in_canonical_form(options, canonical):
  before = dict(options)
  assert BLUR.check(options) == canonical
  assert options == before


BLUR_TEXT = r"blur\(size=3, pool='max', odd=1, free=None\)\.$"


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'radius': 2},
      rf"^blur has no option 'radius'\. Its options and defaults: {BLUR_TEXT}",
    ),
    # Positional arguments are none.
    ({'seed': 1}, "^blur has no option 'seed'"),
    (
      {'size': 0},
      r'^size=0 of blur must be a whole number from 1\. Its defaults: '
      rf'{BLUR_TEXT}',
    ),
    ({'size': True}, '^size=True of blur must be a whole number'),
    ({'size': 2.0}, r'^size=2\.0 of blur must be a whole number'),
    ({'size': '2'}, "^size='2' of blur must be a whole number"),
    ({'size': None}, '^size=None of blur must be a whole number'),
    ({'size': 3, 'pool': 'sum'}, "^pool='sum' of blur must be max or avg"),
    ({'odd': 'x'}, "^odd='x' of blur must be a number"),
    ({'odd': 4}, '^odd=4 of blur must be odd'),
    ({'free': float('inf')}, '^free=inf of blur must be below 2147483648'),
    ({'free': float('nan')}, '^free=nan of blur must be below'),
    ({'size': 1 << 31}, '^size=2147483648 of blur must be below'),
  ],
)
def test_unknown_options_and_values_against_their_rule_are_refused(
  options, message
):
  with pytest.raises(UserError, match=message):
    BLUR.check(options)


@pytest.mark.parametrize(
  ('options', 'text'),
  [
    ({}, 'blur'),
    ({'size': 3, 'free': None}, 'blur'),
    ({'free': (1, 'é'), 'size': 4}, "blur(size=4, free=(1, 'é'))"),
  ],
)
def test_options_are_spelled_as_the_shortest_text(options, text):
  assert BLUR.spell(options) == text
  name, parsed = parse_name(text)
  assert name == 'blur'
  assert BLUR.defaults | parsed == BLUR.defaults | options
