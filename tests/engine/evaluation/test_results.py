import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from engine.evaluation import predictions, results
from engine.evaluation.metrics import Metrics
from engine.evaluation.mistakes import Mistake
from engine.run_dir import results_csv
from errors import UserError

NAMES = ('tench', 'gold, fish', 'shark', 'ray', 'cock', 'hen', 'ostrich')


@pytest.fixture
def result():
  """Seven classes, four records; 'ostrich' has none and is predicted once."""
  return evaluated(loss=0.5)


def probabilities(count):
  """0.75 for the classes 0, 6, 1 and 4, and the rest for the first one."""
  found = np.zeros((4, count))
  found[:, 0] = 0.25
  found[range(4), [0, 6, 1, 4]] += 0.75
  return found


def evaluated(loss, names=NAMES):
  metrics = Metrics(len(names))
  metrics.update(
    [0, 0, 1, 5],
    [[0, 1, 2, 3, 4], [6, 0, 1, 2, 3], [1, 0, 2, 3, 4], [4, 3, 2, 1, 0]],
    [loss] * 4,
    probabilities(len(names)),
  )
  return results.summarize(
    metrics,
    checkpoint='/runs/a/model.ckpt-120',
    global_step=120,
    dataset='fish',
    split='test',
    class_names=names,
    images_per_second=321.5,
    mistakes=[Mistake(8, 'a.jpg', 0, 6, 0.75)],
  )


def test_stderr_lines_are_the_originals(result):
  assert results.stderr_lines(result) == [
    'eval/Accuracy[0.50000]',
    'eval/Recall_5[0.75000]',
  ]


def test_stderr_lines_note_what_is_left_out():
  metrics = Metrics(2)
  chances = [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75]]
  metrics.update([0, 1, 1], [[0, 1], [0, 1], [1, 0]], [0.0] * 3, chances)
  result = results.summarize(
    metrics,
    checkpoint='c',
    global_step=1,
    dataset='d',
    split='s',
    class_names=(),
    images_per_second=1.0,
  )
  accuracy, note = results.stderr_lines(result)
  assert accuracy == 'eval/Accuracy[0.66667]'
  assert note.startswith('Recall_5 is omitted')
  assert result.class_names == ('0', '1')


def test_a_result_is_frozen_and_outlives_its_metrics(result):
  with pytest.raises(dataclasses.FrozenInstanceError):
    result.count = 3
  assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00', result.time)


def test_nothing_evaluated_is_an_error():
  with pytest.raises(UserError, match='--max_num_batches'):
    results.summarize(
      Metrics(2),
      checkpoint='c',
      global_step=1,
      dataset='d',
      split='s',
      class_names=(),
      images_per_second=1.0,
    )


def test_json_says_what_the_contract_wants(result, tmp_path):
  results.write_json(result, tmp_path / 'results.json')
  found = json.loads((tmp_path / 'results.json').read_text())
  per_class = found.pop('per_class')
  # Confidences of 1, which is right, and three of 0.75, of which one is.
  counts, confidence, accuracy = [0] * 15, [0] * 15, [0] * 15
  counts[11], confidence[11], accuracy[11] = 3, 0.75, pytest.approx(1 / 3)
  counts[14], confidence[14], accuracy[14] = 1, 1, 1
  assert found.pop('reliability') == {
    'counts': counts, 'confidence': confidence, 'accuracy': accuracy,
  }  # fmt: skip
  assert found.pop('mistakes') == [
    {'index': 8, 'filename': 'a.jpg', 'label': 0, 'predicted': 6,
     'confidence': 0.75},
  ]  # fmt: skip
  assert found == {
    'checkpoint': '/runs/a/model.ckpt-120',
    'global_step': 120,
    'dataset': 'fish',
    'split': 'test',
    'count': 4,
    'metrics': {
      'Accuracy': 0.5,
      'Recall_5': 0.75,
      'loss': 0.5,
      'macro_precision': pytest.approx(2 / 3),
      'macro_recall': 0.5,
      'macro_f1': pytest.approx((2 / 3 + 1) / 3),
      'balanced_accuracy': 0.5,
      # One bin of a record that is right, one of three with one.
      'expected_calibration_error': pytest.approx(3 / 4 * (0.75 - 1 / 3)),
      'macro_auroc': pytest.approx((3 / 4 + 1 + 1 / 2) / 3),
    },
    'images_per_second': 321.5,
  }
  assert per_class[0] == {
    'label': 0,
    'name': 'tench',
    'count': 2,
    'precision': 1.0,
    'recall': 0.5,
    'f1': pytest.approx(2 / 3),
    'auroc': 0.75,
  }
  assert per_class[6] == {
    'label': 6,
    'name': 'ostrich',
    'count': 0,
    'precision': 0.0,
    'recall': None,
    'f1': None,
    'auroc': None,
  }


def test_json_stays_json_when_the_loss_is_not_finite(tmp_path):
  results.write_json(evaluated(loss=np.inf), tmp_path / 'results.json')
  text = (tmp_path / 'results.json').read_text()
  assert json.loads(text)['metrics']['loss'] is None


def test_fewer_records_than_before_are_told(result, tmp_path):
  assert results.fewer_records(result, tmp_path) is None
  results.append_csv(result, tmp_path / 'results.csv')
  assert results.fewer_records(result, tmp_path) is None
  fewer = dataclasses.replace(result, count=3)
  assert re.match(
    'fish/test has 3 records; 4 at the evaluation before, says .*results.csv',
    results.fewer_records(fewer, tmp_path),
  )
  other = dataclasses.replace(fewer, split='validation')
  assert results.fewer_records(other, tmp_path) is None


def test_csv_grows_by_a_row_and_reads_back_typed(result, tmp_path):
  path = tmp_path / 'results.csv'
  results.append_csv(result, path)
  results.append_csv(evaluated(loss=np.nan), path)
  header = path.read_text().splitlines()[0]
  assert header.startswith(
    'time,global_step,checkpoint,split,count,Accuracy,Recall_5,loss'
  )
  first, second = results_csv.read(path)
  assert first == {
    'time': result.time,
    'global_step': 120,
    'checkpoint': '/runs/a/model.ckpt-120',
    'split': 'test',
    'count': 4,
    **result.metrics,
  }
  assert np.isnan(second['loss'])


def test_csv_takes_a_new_metric_and_misses_an_old_one(result, tmp_path):
  path = tmp_path / 'results.csv'
  results.append_csv(result, path)
  newer = dataclasses.replace(result, metrics={'Accuracy': 0.5, 'kappa': 0.25})
  results.append_csv(newer, path)
  first, second = results_csv.read(path)
  assert 'kappa' not in first
  assert (second['kappa'], 'loss' in second) == (0.25, False)


def test_csv_rows_that_are_damaged_are_left_out(result, tmp_path):
  path = tmp_path / 'results.csv'
  results.append_csv(result, path)
  with open(path, 'a') as file:
    file.write('garbage\n2026-01-01T00:00:00+00:00,5,model.ckpt-5,te')
  assert len(results_csv.read(path)) == 1
  assert results_csv.read(tmp_path / 'nowhere.csv') == []


def test_confusion_csv_names_rows_and_columns(result, tmp_path):
  results.write_confusion_csv(result, tmp_path / 'confusion.csv')
  with open(tmp_path / 'confusion.csv', newline='') as file:
    header, *lines = csv.reader(file)
  assert tuple(header[1:]) == tuple(line[0] for line in lines) == NAMES
  counts = np.array([line[1:] for line in lines], int)
  np.testing.assert_array_equal(counts, result.confusion.matrix())
  assert counts[0, 6] == counts[5, 4] == 1


def test_many_classes_have_a_file_of_pairs_in_place_of_the_matrix(tmp_path):
  names = [f'class {label}' for label in range(21_841)]
  result = evaluated(loss=0.5, names=names)
  results.write(result, tmp_path)
  assert not (tmp_path / results.CONFUSION_CSV).exists()
  assert (tmp_path / results.CONFUSION_PNG).exists()
  lines = (tmp_path / results.CONFUSION_PAIRS_CSV).read_text().splitlines()
  assert lines == [
    'true,predicted,count',
    'class 0,class 0,1',
    'class 0,class 6,1',
    'class 1,class 1,1',
    'class 5,class 4,1',
  ]


def test_write_leaves_all_files_whole(result, tmp_path):
  results.write(result, tmp_path / 'eval')
  results.write(result, tmp_path / 'eval')
  assert sorted(path.name for path in (tmp_path / 'eval').iterdir()) == [
    'confusion_matrix.csv',
    'confusion_matrix.png',
    'results.csv',
    'results.json',
  ]
  assert len(results_csv.read(tmp_path / 'eval/results.csv')) == 2


def test_the_matrix_is_also_drawn_in_another_format(result, tmp_path):
  results.write(result, tmp_path, 'pdf')
  assert (tmp_path / 'confusion_matrix.pdf').read_bytes().startswith(b'%PDF')
  assert (tmp_path / 'confusion_matrix.png').exists()


def test_numbers_outlive_a_picture_that_fails(result, tmp_path):
  (tmp_path / 'confusion_matrix.png').mkdir()
  results.write(result, tmp_path)
  assert len(results_csv.read(tmp_path / 'results.csv')) == 1


def test_predictions_stream_and_appear_at_the_end(tmp_path):
  path = tmp_path / 'out' / 'predictions.csv'
  with predictions.PredictionsWriter(path, NAMES) as writer:
    writer.write(
      np.array([0, 2]),
      [b'a.png', ''],
      np.array([1, 6]),
      np.array([[1, 0, 2, 3, 4], [5, 6, 0, 1, 2]]),
      np.array([[0.5, 0.25, 0.125, 0.0625, 0.03125]] * 2, np.float32),
    )
    writer.write([3], ['c,d.png'], [0], [[0, 1, 2, 3, 4]], [[1, 0, 0, 0, 0]])
    assert not path.exists()
  with open(path, newline='') as file:
    found = list(csv.DictReader(file))
  assert [row['index'] for row in found] == ['0', '2', '3']
  assert [row['filename'] for row in found] == ['a.png', '', 'c,d.png']
  assert found[0]['label_name'] == found[0]['top1_name'] == 'gold, fish'
  assert found[1]['top2_label'] == found[1]['label'] == '6'
  assert float(found[0]['top5_probability']) == pytest.approx(0.03125, abs=1e-6)
  assert list(found[0])[:7] == [
    'index',
    'filename',
    'label',
    'label_name',
    'top1_label',
    'top1_name',
    'top1_probability',
  ]
  assert len(found[0]) == 4 + 3 * 5


def test_predictions_of_few_classes_have_fewer_columns(tmp_path):
  with predictions.PredictionsWriter(tmp_path / 'p.csv', ('a', 'b')) as writer:
    writer.write([0], ['x'], [0], [[1, 0]], [[0.75, 0.25]])
  line = (tmp_path / 'p.csv').read_text().splitlines()[1]
  assert line == '0,x,0,a,1,b,0.750000,0,a,0.250000'


def test_predictions_call_a_nameless_class_by_its_number(tmp_path):
  with predictions.PredictionsWriter(tmp_path / 'p.csv', ('a',)) as writer:
    writer.write([0], ['x'], [1], [[1, 0]], [[0.75, 0.25]])
  line = (tmp_path / 'p.csv').read_text().splitlines()[1]
  assert line == '0,x,1,1,1,1,0.750000,0,a,0.250000'


def test_predictions_do_not_appear_when_evaluation_fails(tmp_path):
  with (
    pytest.raises(RuntimeError),
    predictions.PredictionsWriter(tmp_path / 'p.csv', NAMES),
  ):
    raise RuntimeError
  assert list(tmp_path.iterdir()) == []
