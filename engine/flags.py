"""The one place where command-line flags are defined and read."""

import dataclasses
import sys
from collections.abc import Callable

from absl import app, flags

from engine import console, job
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
    known = field.metadata['known']
    choice = f' One of: {", ".join(known)}.' if known is not None else ''
    _DEFINE[types[field.name]](
      field.name, field.default, field.metadata['meaning'] + choice
    )


def read(job_class: type[job.Job]) -> tuple[job.Job, frozenset[str]]:
  """The job that the parsed flags describe, and which flags were given."""
  names = [field.name for field in dataclasses.fields(job_class)]
  given = frozenset(name for name in names if flags.FLAGS[name].present)
  return job_class(**{n: getattr(flags.FLAGS, n) for n in names}), given


def run(job_class: type[job.Job], call: Callable) -> None:
  """A program's body: flags into a job, one call, and an honest exit code.

  Args:
    job_class: the job whose options are the program's flags.
    call: takes the job and the names of the flags that were given; what it
      returns is ignored but for an `exit_code`.
  """

  def main(arguments: list[str]) -> int:
    try:
      if len(arguments) > 1:
        raise UserError(
          f'Unexpected argument {arguments[1]!r}: options are given as '
          '--name=value.'
        )
      summary = call(*read(job_class))
    except UserError as error:
      console.say(f'error: {error}')
      return 2
    except KeyboardInterrupt:
      console.say('Interrupted.')
      return 130
    return getattr(summary, 'exit_code', 0)

  define(job_class)
  sys.exit(app.run(main))
