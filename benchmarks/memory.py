"""Resident memory over the steps of a training that evaluates and summarizes.

Usage: .venv/bin/python benchmarks/memory.py --dataset_name=NAME
    --dataset_dir=DIR [--model_name=cifarnet] [--steps=2000]

Trains with summaries every second and an evaluation every 200 steps, and prints
the resident memory at each tenth of the run, then the folder of each event file.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def resident(pid: int) -> float:
  """Returns the resident memory of a process, in MB."""
  status = pathlib.Path(f'/proc/{pid}/status').read_text()
  return int(re.search(r'VmRSS:\s+(\d+) kB', status)[1]) * 1024 / 1e6


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--dataset_name', required=True)
  parser.add_argument('--dataset_dir', required=True)
  parser.add_argument('--model_name', default='cifarnet')
  parser.add_argument('--steps', type=int, default=2000)
  options = parser.parse_args()
  print('| step | resident MB |\n|---:|---:|')
  with tempfile.TemporaryDirectory() as folder:
    process = subprocess.Popen(
      [
        sys.executable, str(ROOT / 'train_image_classifier.py'),
        f'--train_dir={folder}', f'--model_name={options.model_name}',
        f'--dataset_name={options.dataset_name}',
        f'--dataset_dir={options.dataset_dir}',
        f'--max_number_of_steps={options.steps}', '--save_summaries_secs=1',
        '--eval_every_n_steps=200', f'--log_every_n_steps={max(1, options.steps // 10)}',
      ],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )  # fmt: skip
    last = ''
    for line in process.stderr:
      if found := re.match(r'global step (\d+)/', line):
        print(f'| {found[1]} | {resident(process.pid):.0f} |', flush=True)
      last = line
    if process.wait():
      sys.exit(f'training failed with code {process.returncode}: {last}')
    events = pathlib.Path(folder).rglob('events.out.tfevents.*')
    print(
      '\nEvent files:',
      *sorted(str(e.parent.relative_to(folder)) for e in events),
    )


if __name__ == '__main__':
  main()
