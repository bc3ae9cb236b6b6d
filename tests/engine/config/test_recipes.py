"""Every recipe is a set of valid flags; what it may not do is an error."""

import dataclasses

import pytest
from absl import flags

from engine.config import recipes
from engine.config.flags import values_of_recipe
from engine.config.jobs import TrainJob
from options import types_of

DEFINE = {
  str: flags.DEFINE_string, int: flags.DEFINE_integer,
  float: flags.DEFINE_float, bool: flags.DEFINE_boolean,
}  # fmt: skip


@pytest.fixture
def defined() -> flags.FlagValues:
  """The flags of training, of which the command line sets one."""
  values = flags.FlagValues()
  kinds = types_of(TrainJob)
  for field in dataclasses.fields(TrainJob):
    DEFINE[kinds[field.name]](
      field.name, field.default, field.name, flag_values=values
    )
  flags.DEFINE_string('flagfile', '', 'Files of flags.', flag_values=values)
  values(['train', '--learning_rate=0.5'])
  return values


@pytest.mark.parametrize('recipe', recipes.RECIPES)
def test_every_recipe_makes_a_job(defined, recipe):
  chosen = values_of_recipe(recipe, defined)
  assert chosen
  TrainJob(recipe=recipe, **chosen)
  # The flags of the command line remain as they were.
  assert defined['learning_rate'].value == 0.5
  assert [n for n in defined if defined[n].present] == ['learning_rate']


def test_the_original_is_the_defaults_with_moving_statistics(defined):
  original = dataclasses.asdict(
    TrainJob(**values_of_recipe('original', defined))
  )
  defaults = dataclasses.asdict(TrainJob())
  assert {n for n in defaults if original[n] != defaults[n]} == {
    'freeze_batch_norm'
  }
  assert not original['freeze_batch_norm']


def test_a_recipe_of_an_unknown_flag_is_refused(defined, tmp_path, monkeypatch):
  monkeypatch.setattr(recipes, 'FOLDER', tmp_path)
  (tmp_path / 'mine').write_text('# Mine.\n--learning_rat=1\n')
  with pytest.raises(flags.Error, match='learning_rat'):
    values_of_recipe('mine', defined)
