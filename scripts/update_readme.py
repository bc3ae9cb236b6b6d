"""Writes the README's tables of names and flags from the code.

Usage: .venv/bin/python scripts/update_readme.py [--all | NETWORK ...]

What building a network shows is kept in tests/golden/catalogue.json, which the
long tests hold to the code: only new networks are built, those that are named,
or all of them.
"""

import dataclasses
import json
import pathlib
import sys
import textwrap
from collections.abc import Collection, Iterable

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import files  # noqa: E402
from engine import catalogue, flags, job  # noqa: E402
from nets.attention.attention_factory import ATTENTION_MODULES  # noqa: E402
from nets.nets_factory import NETWORKS  # noqa: E402

FIGURES = ROOT / 'tests' / 'golden' / 'catalogue.json'


def recorded() -> dict[str, catalogue.Figures]:
  """Network -> what building it showed when it was last built."""
  content = json.loads(FIGURES.read_text())
  return {name: catalogue.Figures(**entry) for name, entry in content.items()}


def record(again: Collection[str]) -> None:
  """Builds these networks and new ones, and writes all figures."""
  known = recorded()
  networks = [NETWORKS[name] for name in {*NETWORKS} - {*known} | {*again}]
  known |= catalogue.measure(networks, job.ListJob())
  lines = (
    f'  {json.dumps(name)}: {json.dumps(dataclasses.asdict(known[name]))}'
    for name in NETWORKS
  )
  files.write_text(FIGURES, '{\n' + ',\n'.join(lines) + '\n}\n')


def tables() -> dict[str, str]:
  """Name of a place in the README -> what stands there.

  Default folders are shown with <temp> for the machine's own.
  """
  once = flags.option_names(job.EvalJob)
  known = recorded()
  trained = flags.option_names(job.TrainJob)
  compared = {*trained} - {'train_dir'}
  looked = flags.option_names(job.ModelOptions)
  made = {
    'train flags': flags.table(job.TrainJob),
    'eval flags': flags.table(job.EvalJob),
    'loop flags': flags.table(job.EvalLoopJob, without=once),
    'visualize flags': flags.table(job.VisualizeJob, without=looked),
    'compare flags': flags.table(job.CompareJob, without=compared),
    'convert flags': flags.table(job.ConvertJob),
    'inspect flags': flags.table(job.InspectJob),
    'list flags': flags.table(job.ListJob),
    'networks': catalogue.markdown(
      catalogue.HEADINGS,
      [catalogue.row(NETWORKS[name], known[name]) for name in NETWORKS],
    ),
    'attention': _names(ATTENTION_MODULES),
  }
  return {
    name: table.replace(job.TEMP_MODEL, '<temp>/tfmodel/')
    for name, table in made.items()
  }


def _names(table: Iterable[str]) -> str:
  """The names, each as code, with commas between them."""
  return textwrap.fill(', '.join(f'`{name}`' for name in table), 80)


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
  named = sys.argv[1:]
  record(NETWORKS if named == ['--all'] else named)
  readme = ROOT / 'README.md'
  files.write_text(readme, update(readme.read_text()))
