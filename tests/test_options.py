"""Options classes: fields that carry their meaning and check their values."""

import dataclasses

import pytest

from errors import UserError
from options import Options, kinds_of, option, types_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class BakeOptions(Options):
  flour: str = option('rye', 'The flour.', known=('rye', 'spelt', 'wheat'))
  loaves: int = option(1, 'Loaves to bake.', lower=1, upper=12)
  heat: float | None = option(
    None, 'Heat of the oven.', group='advanced', above=0, upper=1
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CakeOptions(BakeOptions):
  icing: bool = option(False, 'Whether to add icing.', structure=True)
  note: str | None = option(None, 'A note.')
  oven: str = option('~/oven', 'Where it is baked.', path=True)


def test_defaults_and_values():
  assert CakeOptions() == CakeOptions(
    flour='rye', loaves=1, heat=None, icing=False, note=None, oven='~/oven'
  )
  cake = CakeOptions(flour='spelt', loaves=2, heat=0.5, icing=True, note='x')
  assert dataclasses.astuple(cake)[:-1] == ('spelt', 2, 0.5, True, 'x')


def test_a_whole_number_becomes_a_float_where_fractions_are_allowed():
  heat, loaves = BakeOptions(heat=1).heat, BakeOptions(loaves=2).loaves
  assert (type(heat), type(loaves)) == (float, int)


def test_a_field_carries_what_flags_and_documentation_need():
  fields = {field.name: field for field in dataclasses.fields(CakeOptions)}
  assert fields['heat'].metadata == {
    'meaning': 'Heat of the oven.',
    'group': 'advanced',
    'known': None,
    'lower': None,
    'above': 0,
    'upper': 1,
    'structure': False,
    'path': False,
  }
  assert fields['flour'].metadata['known'] == ('rye', 'spelt', 'wheat')
  assert fields['loaves'].metadata['group'] == 'basic'
  assert fields['icing'].metadata['structure']


@pytest.mark.parametrize(
  'values',
  [
    {'loaves': 1},
    {'loaves': 12},
    {'heat': 1e-9},
    {'heat': 1.0},
    {'heat': None},
    # None always stands for "not set".
    {'flour': None},
    {'loaves': None},
    {'note': ''},
  ],
)
def test_bounds_themselves_are_accepted(values):
  assert CakeOptions(**values) == dataclasses.replace(CakeOptions(), **values)


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (
      {'flour': 'wheet'},
      r"^Unknown --flour 'wheet'\. Did you mean 'wheat'\? "
      r'Known: rye, spelt, wheat\.$',
    ),
    ({'flour': ''}, r"^Unknown --flour ''\. Known: rye, spelt, wheat\.$"),
    ({'loaves': 0}, r'^--loaves=0: must be at least 1\.$'),
    ({'loaves': 13}, r'^--loaves=13: must be at most 12\.$'),
    ({'heat': 0.0}, r'^--heat=0\.0: must be more than 0\.$'),
    ({'heat': -0.1}, r'^--heat=-0\.1: must be more than 0\.$'),
    ({'heat': 1.5}, r'^--heat=1\.5: must be at most 1\.$'),
    ({'heat': float('nan')}, r'^--heat=nan: must be a finite number\.$'),
    ({'heat': float('-inf')}, r'^--heat=-inf: must be a finite number\.$'),
    (
      {'loaves': 1 << 63},
      r'^--loaves=\d+: must be at most 9223372036854775807',
    ),
    # Of two wrong values, the one that is defined first.
    ({'heat': 2.0, 'loaves': 0}, r'^--loaves=0: '),
  ],
)
@pytest.mark.parametrize('options', [BakeOptions, CakeOptions])
def test_other_values_are_refused_at_once(options, values, message):
  with pytest.raises(UserError, match=message):
    options(**values)
  with pytest.raises(UserError, match=message):
    dataclasses.replace(options(), **values)


@pytest.mark.parametrize('text', ['a\0b', '\0', 'half of a pair: \ud800'])
@pytest.mark.parametrize('name', ['note', 'oven'])
def test_text_that_no_file_can_have_is_refused(name, text):
  with pytest.raises(UserError, match=f'^--{name}=.*UTF-8 text without NUL'):
    CakeOptions(**{name: text})


def test_the_home_folder_is_expanded_in_paths_alone(monkeypatch):
  monkeypatch.setenv('HOME', '/home/cook')
  cake = CakeOptions(oven='~/a ~', note='~/a')
  assert (cake.oven, cake.note) == ('/home/cook/a ~', '~/a')
  assert dataclasses.replace(cake, oven='~').oven == '/home/cook'
  for unchanged in ('a/~/b', './~/b', '~nobody_of_this_name/b', ''):
    assert CakeOptions(oven=unchanged).oven == unchanged


def test_recorded_options_may_lack_some_and_have_their_types():
  assert kinds_of(CakeOptions) == {
    'flour?': str,
    'loaves?': int,
    'heat?': float | None,
    'icing?': bool,
    'note?': str | None,
    'oven?': str,
  }


def test_options_are_frozen_and_have_names():
  with pytest.raises(dataclasses.FrozenInstanceError):
    BakeOptions().loaves = 2
  with pytest.raises(TypeError, match='positional'):
    BakeOptions('rye')
  with pytest.raises(TypeError, match='sugar'):
    BakeOptions(sugar=1)


def test_types_are_those_of_the_flags_in_the_order_of_definition():
  assert types_of(Options) == {}
  types = types_of(CakeOptions)
  assert types == {
    'flour': str,
    'loaves': int,
    'heat': float,
    'icing': bool,
    'note': str,
    'oven': str,
  }
  fields = dataclasses.fields(CakeOptions)
  assert list(types) == [field.name for field in fields]
