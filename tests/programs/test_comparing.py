"""compare_attention.py as a process with real runs, stopped and resumed."""

import csv
import json
import signal
import statistics

import pytest


def table(folder):
  with (folder / 'comparison.csv').open() as file:
    return {row['attention']: row for row in csv.DictReader(file)}


def evaluation(folder, kind, seed):
  path = folder / kind / f'seed_{seed}' / 'eval' / 'results.json'
  return json.loads(path.read_text())


@pytest.mark.slow
def test_a_comparison_is_stopped_and_resumed(start, run, small, tmp_path):
  flags = {
    'train_dir': 'compared', 'attention_modules': 'none;se_block@class',
    'seeds': '1,2', 'eval_every_n_steps': 200, 'max_number_of_steps': 200,
    'timing_steps': 1, **small,
  }  # fmt: skip
  first = start('compare', **flags)
  first.wait_for(r'Run 2 of 4: se_block@class, seed 1[\s\S]*global step 2[^\d]')
  first.signal(signal.SIGINT)
  assert first.wait() == 130
  assert 'Traceback' not in first.stderr
  assert 'Stopped by SIGINT: run the same command again' in first.stderr
  folder = tmp_path / 'compared'
  assert table(folder)['none']['runs'] == '1'
  assert table(folder)['se_block@class']['runs'] == '0'
  step = first.wait_for(r'Stopped by SIGTERM at step (\d+)')[1]

  second = run('compare', train_dir='compared')
  assert second.code == 0, second.stderr
  assert 'Run 1 of 4' not in second.stderr
  second.wait_for(rf'Resuming from .*model\.ckpt-{step}\.')
  for name, row in table(folder).items():
    kind = name.replace('@', '_')
    results = [evaluation(folder, kind, seed) for seed in (1, 2)]
    assert {(f['split'], f['count'], f['global_step']) for f in results} == {
      ('test', 23, 200)
    }
    values = [f['metrics']['Accuracy'] for f in results]
    assert float(row['accuracy_mean']) == pytest.approx(sum(values) / 2)
    assert float(row['accuracy_std']) == pytest.approx(statistics.stdev(values))
    job = json.loads((folder / kind / 'seed_1' / 'job.json').read_text())
    assert int(row['parameters']) == job['trainable_parameters']
    assert float(row['step_ms']) > 0
