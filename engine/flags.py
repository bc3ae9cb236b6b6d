"""The one place where command-line flags are defined and read."""

import dataclasses
import sys
from collections.abc import Callable, Collection

from absl import app, flags

from engine import console, disk_errors, job
from errors import UserError

_DEFINE = {
  str: flags.DEFINE_string,
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_boolean,
}


def define(job_class: type[job.Job]) -> None:
  """Defines a flag for every option of a job, of its name, type, default."""
  types = job.types(job_class)
  for field in dataclasses.fields(job_class):
    _DEFINE[types[field.name]](field.name, field.default, _meaning(field))
    # --help shows the flags of the program's own file, and only those.
    flags.FLAGS.register_key_flag_for_module(
      sys.argv[0], flags.FLAGS[field.name]
    )


def option_names(job_class: type[job.Job]) -> list[str]:
  """The names of a job's options, which are its flags."""
  return [field.name for field in dataclasses.fields(job_class)]


def read(job_class: type[job.Job]) -> tuple[job.Job, frozenset[str]]:
  """The job that the parsed flags describe, and which flags were given."""
  names = option_names(job_class)
  given = frozenset(name for name in names if flags.FLAGS[name].present)
  return job_class(**{n: getattr(flags.FLAGS, n) for n in names}), given


def table(job_class: type[job.Job], without: Collection[str] = ()) -> str:
  """The flags of a job as a Markdown table.

  Args:
    job_class: the job whose options are the flags.
    without: names to leave out, as they stand in another table.
  """
  lines = ['| flag | default | meaning |', '|---|---|---|']
  for field in dataclasses.fields(job_class):
    if field.name in without:
      continue
    default = '' if field.default in (None, '') else f'`{field.default}`'
    lines.append(f'| `--{field.name}` | {default} | {_meaning(field)} |')
  return '\n'.join(lines)


def _meaning(field: dataclasses.Field) -> str:
  """An option's meaning and the names it may take."""
  known = field.metadata['known']
  choice = f' One of: {", ".join(known)}.' if known is not None else ''
  return field.metadata['meaning'] + choice


def run(job_class: type[job.Job], call: Callable) -> None:
  """A program's body: flags into a job, one call, and an honest exit code.

  Args:
    job_class: the job whose options are the program's flags.
    call: takes the job and the names of the flags that were given; what it
      returns is ignored but for an `exit_code`.
  """

  def main(arguments: list[str]) -> int:
    console.take_logs()
    try:
      if len(arguments) > 1:
        raise UserError(
          f'Unexpected argument {arguments[1]!r}: options are given as '
          '--name=value.'
        )
      with disk_errors.named():
        summary = call(*read(job_class))
    except UserError as error:
      console.say(f'error: {error}')
      return 2
    except KeyboardInterrupt:
      console.say('Interrupted.')
      return 130
    return getattr(summary, 'exit_code', 0)

  define(job_class)
  sys.exit(app.run(main, flags_parser=_parse))


def _parse(arguments: list[str]) -> list[str]:
  """What is left when flags are parsed; mistakes end as all others do."""
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    console.say(f'error: {error}\n--help lists every flag.')
    sys.exit(2)
