"""Command-line flags: defined from a job's options, parsed, and read.

No other file defines or reads flags.
"""

import copy
import dataclasses
import os
import pkgutil
import sys
from typing import Any

from absl import app, flags

from engine import console, error_translation, signals
from engine.config import recipes
from errors import UserError
from options import Options, types_of
from registry import unknown

# The exit code that shells have for SIGPIPE.
_UNREAD = 141

_DEFINE = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_boolean,
}


def define(job_class: type[Options]) -> None:
  """Defines a flag for each option, with its name, type and default."""
  types = types_of(job_class)
  for field in dataclasses.fields(job_class):
    _DEFINE[types[field.name]](field.name, field.default, _meaning(field))
    # --help shows only the flags registered for the program's own file.
    flags.FLAGS.register_key_flag_for_module(
      sys.argv[0], flags.FLAGS[field.name]
    )


def option_names(job_class: type[Options]) -> list[str]:
  """Returns the names of a job's options, which are its flags."""
  return [field.name for field in dataclasses.fields(job_class)]


def read(
  job_class: type[Options],
) -> tuple[Options, frozenset[str]]:
  """Returns the job that the flags describe, and the options they set.

  Options that only --recipe sets are not among them: what a run has recorded
  wins over its recipe.
  """
  names = option_names(job_class)
  explicit = frozenset(name for name in names if flags.FLAGS[name].present)
  options = {name: getattr(flags.FLAGS, name) for name in names}
  if recipe := options.get('recipe'):
    if recipe not in recipes.RECIPES:
      raise UserError(unknown('--recipe', recipe, recipes.RECIPES))
    chosen = values_of_recipe(recipe, flags.FLAGS)
    options |= {n: v for n, v in chosen.items() if n not in explicit}
  return job_class(**options), explicit


def values_of_recipe(recipe: str, defined: flags.FlagValues) -> dict[str, Any]:
  """Returns flag -> value of a recipe.

  Args:
    recipe: one of RECIPES.
    defined: the program's flags.

  Raises:
    flags.Error: if the recipe sets a flag that is not defined, or sets it to a
      value of another type.
  """
  # In a copy, since parsing marks flags as set by the command line.
  own = copy.deepcopy(defined)
  for name in own:
    own[name].present = 0
  own([recipe, f'--flagfile={recipes.FOLDER / recipe}'])
  return {
    name: own[name].value
    for name in own
    if own[name].present and name != 'flagfile'
  }


def _meaning(field: dataclasses.Field) -> str:
  """Returns an option's meaning and the names it accepts."""
  known = field.metadata['known']
  choice = f' One of: {", ".join(known)}.' if known is not None else ''
  return field.metadata['meaning'] + choice


def run(job_class: type[Options], function: str) -> None:
  """Runs a program: parses its flags, calls a function, and exits.

  Args:
    job_class: the job whose options are the program's flags.
    function: 'module:function', called with the job and the names of the
      explicit options. It is imported after the flags are checked, as it may
      load TensorFlow. If its result has an `exit_code`, the program exits with
      that.
  """

  def main(arguments: list[str]) -> int:
    console.take_logs()
    signals.raise_when_terminated()
    try:
      if len(arguments) > 1:
        raise UserError(
          f'Unexpected argument {arguments[1]!r}: options are given as '
          '--name=value.'
        )
      job, explicit = read(job_class)
      with signals.raised_again(), error_translation.translate_file_errors():
        summary = pkgutil.resolve_name(function)(job, explicit)
        sys.stdout.flush()
    except UserError as error:
      console.say(f'error: {error}')
      return 2
    except signals.Terminated as error:
      console.say(f'Stopped by {error.name}.')
      raise
    except KeyboardInterrupt:
      console.say('Interrupted.')
      return 130
    except BrokenPipeError:
      if not _is_unread():
        raise
      return _UNREAD
    return getattr(summary, 'exit_code', 0)

  define(job_class)
  sys.exit(app.run(main, flags_parser=_parse))


def _is_unread() -> bool:
  """Whether the reader of stdout has ended, as head does; drops the rest."""
  try:
    print(flush=True)
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
  return False


def _parse(arguments: list[str]) -> list[str]:
  """Parses flags and returns other arguments; exits if there is a mistake."""
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    console.say(f'error: {error}\n--help lists every flag.')
    sys.exit(2)
  except SystemExit:
    # --help has printed the flags; absl would exit with 1.
    sys.exit(0)
