"""TF-Slim's released weights on real photos, by our converter and programs.

The published graphs, run as they were released, get these many of the 1,000
photos right: the one check that holds records, reader, preprocessing, network,
restoring and metrics all at once.
"""

import pytest

from datasets import convert
from engine.config.jobs import EvalJob
from engine.evaluation import evaluator


@pytest.fixture(scope='module')
def photos(slim_test_data, tmp_path_factory):
  """The records of one photo for each of ImageNet's classes."""
  folder = tmp_path_factory.mktemp('imagenet')
  source = slim_test_data / 'imagenet_sample'
  convert.convert('imagenet', str(folder), str(source))
  return folder


@pytest.mark.slow
@pytest.mark.parametrize(
  ('side', 'first', 'five'), [(128, 466, 698), (224, 480, 735)]
)
def test_the_published_accuracy_is_reached(
  slim_test_data, photos, tmp_path, side, first, five
):
  weights = slim_test_data / 'slim_checkpoints'
  options = {
    'checkpoint_path': str(weights / f'mobilenet_v1_0.25_{side}.ckpt'),
    'model_name': 'mobilenet_v1_025',
    'eval_image_size': side,
    'dataset_name': 'imagenet',
    'dataset_dir': str(photos),
    'eval_dir': str(tmp_path / 'eval'),
  }
  before = sorted(weights.iterdir())
  result = evaluator.evaluate(EvalJob(**options), frozenset(options))
  assert result.count == 1000
  assert abs(result.metrics['Accuracy'] * 1000 - first) <= 2
  assert abs(result.metrics['Recall_5'] * 1000 - five) <= 2
  assert sorted(weights.iterdir()) == before
