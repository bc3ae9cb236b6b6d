"""Updates tests/golden/catalogue.json: the size and cost of each network.

Usage: .venv/bin/python scripts/update_catalogue.py [--all | NETWORK ...]

Building all networks takes minutes, so their figures are kept in this file; the
slow tests compare it with the code, and the documentation shows it. Builds the
networks that the file lacks and those named, or all of them.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Collection

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import files  # noqa: E402
from engine.config import jobs  # noqa: E402
from nets.nets_factory import NETWORKS  # noqa: E402
from tools import catalogue  # noqa: E402

FIGURES = ROOT / 'tests' / 'golden' / 'catalogue.json'


def update(rebuilt: Collection[str]) -> None:
  """Builds these networks and new ones, and writes the figures of all."""
  figures = json.loads(FIGURES.read_text())
  names = {*NETWORKS} - {*figures} | {*rebuilt}
  built = catalogue.measure([NETWORKS[name] for name in names], jobs.ListJob())
  figures |= {name: dataclasses.asdict(sizes) for name, sizes in built.items()}
  lines = (f'  {json.dumps(n)}: {json.dumps(figures[n])}' for n in NETWORKS)
  files.write_text(FIGURES, '{\n' + ',\n'.join(lines) + '\n}\n')


if __name__ == '__main__':
  named = sys.argv[1:]
  update(NETWORKS if named == ['--all'] else named)
