"""Evaluation against an independent reading of records and weights."""

import collections
import csv

import numpy as np
import pytest
import tiny_network

from engine.checkpoints import matching, store
from engine.config import resolve
from engine.config.jobs import EvalJob
from engine.evaluation import evaluator as evaluator_lib
from engine.plots import style as plot_style
from errors import UserError
from nets import folding, nets_factory
from tf_compat import tf


@pytest.fixture(scope='module')
def trained(digits, tmp_path_factory):
  """A train_dir with moving averages, shared and never changed."""
  from engine.config.jobs import TrainJob
  from engine.training import loop

  train_dir = tmp_path_factory.mktemp('trained')
  loop.train(
    TrainJob(
      train_dir=str(train_dir),
      dataset_name='digits',
      dataset_dir=str(digits),
      model_name='cifarnet',
      preprocessing_name='lenet',
      batch_size=8,
      optimizer='momentum',
      learning_rate=0.003,
      max_number_of_steps=12,
      moving_average_decay=0.9,
      seed=3,
    )
  )
  return train_dir


def by_hand(digits, trained, averaged: bool):
  """Labels, five best guesses and losses of the test split, in NumPy mostly."""
  (path,) = digits.glob('*_test.tfrecord')
  images, labels = [], []
  reader = tf.train.load_checkpoint(str(trained))
  names = reader.get_variable_to_shape_map()
  with tf.Graph().as_default(), tf.Session() as session:
    encoded = tf.placeholder(tf.string, [])
    pixels = tf.image.decode_png(encoded)
    for record in tf.io.tf_record_iterator(str(path)):
      feature = tf.train.Example.FromString(record).features.feature
      png = feature['image/encoded'].bytes_list.value[0]
      images.append((session.run(pixels, {encoded: png}) - 128.0) / 128)
      labels.append(feature['image/class/label'].int64_list.value[0])
    logits, _ = nets_factory.get_network_fn('cifarnet', 10)(
      tf.constant(np.array(images), tf.float32)
    )
    for variable in tf.global_variables():
      name = variable.op.name
      if averaged:
        name += matching.AVERAGE
      assert name in names
      variable.load(reader.get_tensor(name), session)
    logits = session.run(logits).astype(np.float64)
  odds = np.exp(logits - logits.max(axis=1, keepdims=True))
  odds /= odds.sum(axis=1, keepdims=True)
  labels = np.array(labels)
  losses = -np.log(odds[np.arange(len(labels)), labels])
  return labels, np.argsort(-odds, axis=1)[:, :5], losses, odds


def run(trained, **options):
  options = {'checkpoint_path': str(trained), **options}
  return evaluator_lib.evaluate(EvalJob(**options), frozenset(options))


@pytest.mark.slow
@pytest.mark.parametrize('averaged', [True, False])
@pytest.mark.parametrize('batch_size', [1, 4, 23, 100])
def test_every_record_counts_once_at_any_batch_size(
  digits, trained, tmp_path, averaged, batch_size
):
  options = {} if averaged else {'moving_average_decay': 0.0}
  result = run(
    trained, batch_size=batch_size, eval_dir=str(tmp_path), **options
  )
  labels, guesses, losses, _ = by_hand(digits, trained, averaged)
  assert result.count == 23
  assert result.metrics == pytest.approx(
    result.metrics
    | {
      'Accuracy': np.mean(guesses[:, 0] == labels),
      'Recall_5': np.mean((guesses == labels[:, None]).any(axis=1)),
      'loss': losses.mean(),
    },
    rel=1e-4,
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'options',
  [
    {'batch_size': 7},
    # Eleven on each, and then one on one of them.
    {'batch_size': 11, 'num_clones': 2, 'clone_on_cpu': True},
  ],
)
def test_predictions_hold_every_record_in_order(
  digits, trained, tmp_path, options
):
  path = tmp_path / 'predictions.csv'
  run(trained, predictions_file=str(path), eval_dir=str(tmp_path), **options)
  labels, guesses, _, odds = by_hand(digits, trained, averaged=True)
  with path.open() as file:
    rows = list(csv.DictReader(file))
  assert [int(row['label']) for row in rows] == labels.tolist()
  for row, guess, chances in zip(rows, guesses, odds, strict=True):
    assert [int(row[f'top{n}_label']) for n in range(1, 6)] == guess.tolist()
    assert float(row['top1_probability']) == pytest.approx(
      chances[guess[0]], abs=2e-5
    )


def test_max_num_batches_is_respected(trained, tmp_path):
  result = run(trained, max_num_batches=2, batch_size=4, eval_dir=str(tmp_path))
  assert result.count == 8


@pytest.mark.slow
def test_a_missing_average_gives_way_to_the_raw_weight_and_says_so(
  train, evaluate, capsys
):
  train(max_number_of_steps=1)
  evaluate(moving_average_decay=0.99)
  assert 'No moving average in' in capsys.readouterr().err


@pytest.mark.slow
def test_one_evaluator_serves_many_checkpoints(trained, digits, tmp_path):
  options = {'checkpoint_path': str(trained), 'eval_dir': str(tmp_path)}
  setup = resolve.evaluation(EvalJob(**options), frozenset(options))
  with evaluator_lib.Evaluator(setup) as evaluator:
    first, last = store.in_folder(trained)
    results = [evaluator.evaluate(c) for c in (first, last, first, last)]
    for result in results[:2]:
      evaluator.publish(result)
  found = [result.metrics['loss'] for result in results]
  assert found[0] == pytest.approx(found[2])
  assert found[1] == pytest.approx(found[3])
  assert found[0] != pytest.approx(found[1], rel=1e-3)
  (events,) = tmp_path.glob('events.*')
  tags = collections.Counter(
    value.tag
    for event in tf.train.summary_iterator(str(events))
    for value in event.summary.value
  )
  assert {'eval/Accuracy', 'cross_entropy', 'accuracy'} <= {*tags}
  assert tags['confusion_matrix'] == tags['eval/loss'] == 2


def test_a_matrix_that_is_not_drawn_is_not_shown(
  evaluate, trained, tmp_path, monkeypatch
):
  """Nor is the damaged picture of an earlier evaluation."""

  def fail(*_):
    raise OSError('full')

  monkeypatch.setattr(plot_style, 'save', fail)
  (tmp_path / 'confusion_matrix.png').write_bytes(b'damaged')
  result = evaluate(trained, eval_dir=str(tmp_path))
  (events,) = tmp_path.glob('events.*')
  tags = [
    value.tag
    for event in tf.train.summary_iterator(str(events))
    for value in event.summary.value
  ]
  assert 'eval/Accuracy' in tags
  assert 'confusion_matrix' not in tags
  assert result.count == 23


@pytest.mark.slow
@pytest.mark.parametrize(
  'options', [{}, {'num_clones': 2, 'clone_on_cpu': True}]
)
def test_batch_norm_is_folded_anew_for_each_checkpoint(
  train, tmp_path, monkeypatch, options
):
  """Two checkpoints in one session count as they do with batch norm."""
  tiny_network.register(monkeypatch.setattr)
  train(model_name='tiny', attention_module='cbam_block', optimizer='sgd',
        save_every_n_steps=2, batch_norm_decay=0.5)  # fmt: skip
  job = EvalJob(
    checkpoint_path=str(tmp_path / 'train'), eval_dir=str(tmp_path), **options
  )
  setup = resolve.evaluation(job, frozenset({'checkpoint_path', 'eval_dir'}))
  checkpoints = store.in_folder(tmp_path / 'train')[-2:]
  metrics = []
  for fold in (folding.fold, lambda _, logits: (logits, tf.no_op())):
    monkeypatch.setattr(folding, 'fold', fold)
    with evaluator_lib.Evaluator(setup) as evaluator:
      metrics += [evaluator.evaluate(c).metrics for c in checkpoints]
      graph_def = evaluator._graph.as_graph_def()
      loss = evaluator._outputs['loss'].op.name
    nodes = tf.graph_util.extract_sub_graph(graph_def, [loss]).node
    has_norm = 'FusedBatchNormV3' in {node.op for node in nodes}
    assert has_norm == (len(metrics) > 2)
  assert metrics[0]['loss'] != pytest.approx(metrics[1]['loss'], rel=1e-3)
  assert metrics[:2] == [pytest.approx(each, rel=1e-5) for each in metrics[2:]]


def test_a_predictions_file_does_not_appear_when_a_record_is_bad(
  trained, digits, tmp_path
):
  data = tmp_path / 'data'
  data.mkdir()
  for path in digits.glob('*.tfrecord'):
    content = path.read_bytes()
    (data / path.name).write_bytes(content[:-20])
  with pytest.raises(UserError, match=r'digits_test\.tfrecord'):
    run(
      trained, dataset_dir=str(data), predictions_file=str(tmp_path / 'p.csv'),
      eval_dir=str(tmp_path / 'eval'),
    )  # fmt: skip
  assert not (tmp_path / 'p.csv').exists()
