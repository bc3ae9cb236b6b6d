"""Runs the code blocks of the documentation that are marked bash.

Usage: .venv/bin/python scripts/run_docs_examples.py [PAGE.md ...]

All pages by default, which takes some minutes. The blocks of a page run in
order, in the root of the checkout, and need the results of
scripts/quickstart.sh. Blocks that install something are left out.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'^```bash\n(.*?)^```$', re.M | re.S)
INSTALLS = re.compile(r'source |scripts/(setup|quickstart|test|docs)\.sh')


def script(page: pathlib.Path) -> str:
  """The blocks of a page as one shell script."""
  blocks = BLOCK.findall(page.read_text())
  return '\n'.join(block for block in blocks if not INSTALLS.search(block))


def run(page: pathlib.Path) -> bool:
  """Runs a page, prints the outcome, and returns whether all went well."""
  text = script(page)
  if not text:
    return True
  folder = pathlib.Path(sys.executable).parent
  began = time.monotonic()
  done = subprocess.run(
    ['bash', '-euo', 'pipefail', '-c', text],
    cwd=ROOT,
    env=os.environ | {'PATH': f'{folder}:{os.environ["PATH"]}'},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    check=False,
  )
  seconds = time.monotonic() - began
  outcome = f'exit code {done.returncode}' if done.returncode else 'ok'
  print(f'{page.relative_to(ROOT)}: {outcome}, {seconds:.0f} s', flush=True)
  if done.returncode:
    print(done.stdout[-2000:])
  return not done.returncode


if __name__ == '__main__':
  named = [pathlib.Path(name).resolve() for name in sys.argv[1:]]
  pages = named or sorted((ROOT / 'docs').rglob('*.md'))
  failed = [page for page in pages if not run(page)]
  sys.exit(bool(failed))
