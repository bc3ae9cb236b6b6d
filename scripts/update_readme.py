"""Writes the README's list of networks and tables of flags from the code.

Usage: .venv/bin/python scripts/update_readme.py
"""

import pathlib
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import files  # noqa: E402
from engine import flags, job  # noqa: E402
from nets.nets_factory import NETWORKS  # noqa: E402


def tables() -> dict[str, str]:
  """Name of a place in the README -> what stands there.

  Default folders are shown with <temp> for the machine's own.
  """
  once = flags.option_names(job.EvalJob)
  made = {
    'train flags': flags.table(job.TrainJob),
    'eval flags': flags.table(job.EvalJob),
    'loop flags': flags.table(job.EvalLoopJob, without=once),
    'convert flags': flags.table(job.ConvertJob),
    'networks': textwrap.fill(', '.join(f'`{name}`' for name in NETWORKS), 80),
  }
  return {
    name: table.replace(job.TEMP_MODEL, '<temp>/tfmodel/')
    for name, table in made.items()
  }


def update(text: str) -> str:
  """The README's text with every `<!-- name -->…<!-- end -->` filled."""
  for name, table in tables().items():
    start, end = f'<!-- {name} -->\n', '<!-- end -->'
    before, found, rest = text.partition(start)
    if not found:
      raise ValueError(f'README.md has no {start!r}')
    text = before + start + table + '\n' + end + rest.partition(end)[2]
  return text


if __name__ == '__main__':
  readme = ROOT / 'README.md'
  files.write_text(readme, update(readme.read_text()))
