"""Resident memory over the steps of a training that evaluates and summarizes.

Usage: .venv/bin/python benchmarks/memory.py --dataset_name=NAME
    --dataset_dir=DIR [--model_name=cifarnet] [--steps=2000]

Trains with summaries every second and an evaluation every 200 steps, and prints
the resident memory at each tenth of the run, then the folder of each event file.
"""

import argparse
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import training_log


def resident(pid: int) -> float:
  """Returns the resident memory of a process, in MB."""
  status = pathlib.Path(f'/proc/{pid}/status').read_text()
  (kilobytes,) = re.findall(r'VmRSS:\s+(\d+) kB', status)
  return int(kilobytes) * 1024 / 1e6


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
    training = training_log.start(
      train_dir=folder,
      model_name=options.model_name,
      dataset_name=options.dataset_name,
      dataset_dir=options.dataset_dir,
      max_number_of_steps=options.steps,
      save_summaries_secs=1,
      eval_every_n_steps=200,
      log_every_n_steps=max(1, options.steps // 10),
    )
    for step in training_log.steps(training):
      print(f'| {step} | {resident(training.pid):.0f} |', flush=True)
    if training.wait():
      sys.exit(f'training failed with code {training.returncode}.')
    events = pathlib.Path(folder).rglob('events.out.tfevents.*')
    print(
      '\nEvent files:',
      *sorted(str(e.parent.relative_to(folder)) for e in events),
    )


if __name__ == '__main__':
  main()
