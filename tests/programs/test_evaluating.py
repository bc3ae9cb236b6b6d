"""Evaluation as a process: each record once, predictions, files written."""

import csv
import json
import re

import numpy as np
import pytest
from tiny_data import striped_images

# Each starts processes.
pytestmark = pytest.mark.slow


def predictions(path) -> list[dict]:
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


@pytest.fixture
def evaluate(run, trained, tmp_path):
  """evaluate(**flags) -> (the Process, results.json) of 23 records."""

  def evaluate(*flags, **more):
    process = run(
      'eval', *flags, checkpoint_path=trained / 'train', eval_dir='eval', **more
    )
    assert process.code == 0, process.stderr
    assert 'Traceback' not in process.stderr
    return process, json.loads((tmp_path / 'eval' / 'results.json').read_text())

  return evaluate


@pytest.mark.parametrize('batch_size', [1, 5, 23, 100])
def test_each_record_is_evaluated_once_for_any_batch_size(
  evaluate, tmp_path, batch_size
):
  process, results = evaluate(
    batch_size=batch_size, predictions_file='predictions.csv'
  )
  rows = predictions(tmp_path / 'predictions.csv')
  labels = striped_images(23, 1)[1]
  assert [int(row['label']) for row in rows] == labels.tolist()
  assert [int(row['index']) for row in rows] == list(range(23))
  assert results['count'] == 23
  assert sum(score['count'] for score in results['per_class']) == 23
  top1 = [int(row['top1_label']) for row in rows]
  top5 = np.array(
    [[int(row[f'top{n}_label']) for n in range(1, 6)] for row in rows]
  )
  accuracy = np.mean(top1 == labels)
  recall = np.mean((top5 == labels[:, None]).any(1))
  assert results['metrics']['Accuracy'] == pytest.approx(accuracy)
  assert f'eval/Accuracy[{accuracy:.5f}]' in process.stderr
  assert f'eval/Recall_5[{recall:.5f}]' in process.stderr
  probabilities = [float(row['top1_probability']) for row in rows]
  assert all(0.1 <= probability <= 1 for probability in probabilities)


def test_the_loss_does_not_depend_on_the_batch_size(evaluate):
  losses = [
    evaluate(batch_size=size)[1]['metrics']['loss'] for size in (1, 7, 23)
  ]
  assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize(('batches', 'count'), [(2, 10), (5, 23), (9, 23)])
def test_max_num_batches(evaluate, tmp_path, batches, count):
  _, results = evaluate(
    batch_size=5, max_num_batches=batches, predictions_file='some/where.csv'
  )
  assert results['count'] == count
  assert len(predictions(tmp_path / 'some' / 'where.csv')) == count


def test_files_in_eval_dir(evaluate, tmp_path):
  evaluate()
  _, results = evaluate('--nouse_grayscale')
  names = {path.name for path in (tmp_path / 'eval').iterdir()}
  assert {
    'results.json', 'results.csv', 'confusion_matrix.csv',
    'confusion_matrix.png',
  } <= names  # fmt: skip
  assert any(name.startswith('events.out') for name in names)
  with (tmp_path / 'eval' / 'results.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['global_step'] for row in rows] == ['4', '4']
  assert results['checkpoint'].endswith('model.ckpt-4')
  assert (results['dataset'], results['split']) == ('digits', 'test')
  with (tmp_path / 'eval' / 'confusion_matrix.csv').open(newline='') as file:
    table = list(csv.reader(file))[1:]
  assert sum(int(cell) for row in table for cell in row[1:]) == 23


def test_the_other_split(evaluate):
  process, results = evaluate(dataset_split_name='train')
  assert (results['count'], results['split']) == (40, 'train')
  assert 'on digits/train' in process.stderr


@pytest.mark.parametrize('ending', ['', '.index', '.data-00000-of-00001'])
def test_a_checkpoint_by_any_of_its_names(run, trained, ending):
  path = f'{trained / "train" / "model.ckpt-0"}{ending}'
  process = run('eval', checkpoint_path=path, eval_dir='eval')
  assert process.code == 0, process.stderr
  assert re.search(
    r'Evaluating \S+model\.ckpt-0 on digits/test', process.stderr
  )
