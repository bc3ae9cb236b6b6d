"""Warnings of options that are valid, and hardly meant."""

import pytest

from datasets import record_order
from engine.config import advice, resolve


@pytest.fixture
def warnings(train_job):
  """warnings(**options) -> those of a run with these flags."""

  def find(**options):
    setup = resolve.training(train_job(**options), {*options})
    return advice.of_training(setup, {*options})

  return find


def test_usual_options_need_no_advice(warnings):
  assert warnings() == []


@pytest.mark.parametrize(
  ('options', 'value', 'sensible'),
  [
    ({'learning_rate': 1e3}, '--learning_rate=1000 is very high', '0.01 is'),
    ({'weight_decay': 5.0}, '--weight_decay=5 is very high', '4e-05 is'),
    ({'momentum': 9.0}, '--momentum=9 should be below 1', '0.9 is'),
    ({'adam_beta2': 1.0}, '--adam_beta2=1 should be below 1', '0.999 is'),
    ({'moving_average_decay': 1.0}, '--moving_average_decay=1 sh', '0.9999 is'),
    ({'batch_norm_decay': 1.0}, '--batch_norm_decay=1 should be', '0.997 is'),
    (
      {'end_learning_rate': 0.5, 'learning_rate_decay_type': 'cosine'},
      '--end_learning_rate=0.5 is above --learning_rate=0.003',
      '3e-05 is',
    ),
    ({'warmup_epochs': 1.0}, '--warmup_epochs=1 are 5 steps, and the run', 'A tenth'),
    ({'batch_size': 41}, 'the 41 images of a step are more than the 40 r', '4 is'),
    (
      {'batch_size': 21, 'num_clones': 2, 'clone_on_cpu': True},
      '--batch_size=21: the 42 images of a step',
      '4 is sensible',
    ),
    (
      {'batch_size': 8, 'accumulate_steps': 6},
      '--accumulate_steps=6: the 48 images of a step',
      '1 is sensible',
    ),
    ({'focal_gamma': 3.0}, '--focal_gamma=3 does nothing', '--loss=focal'),
    (
      {'class_weights': 'balanced', 'class_weights_beta': 0.9},
      '--class_weights_beta=0.9 does nothing',
      '--class_weights=effective',
    ),
    (
      {'distillation_weight': 0.1},
      '--distillation_weight=0.1 does nothing',
      '--teacher_checkpoint.',
    ),
    (
      {'train_image_size': 6},
      '--train_image_size=6 leaves lenet, which is made for 28',
      '14 or more',
    ),
    (
      {'model_name': 'resnet_v1_50', 'train_image_size': 1},
      '--train_image_size=1 leaves resnet_v1_50',
      '112 or more',
    ),
    ({'labels_offset': 1}, "--labels_offset=1 drops the class 'zero' of", '0 keeps'),
    (
      {'early_stop_patience': 3},
      '--early_stop_patience=3 does nothing here without --eval_every_n_steps',
      'such as 1000',
    ),
    ({'best_metric': 'loss'}, '--best_metric=loss does nothing', 'such as 1000'),
    (
      {
        'learning_rate_decay_type': 'cosine', 'warmup_epochs': 5.0,
        'max_number_of_steps': None,
      },
      '--learning_rate_decay_type=cosine falls within',
      'set --num_epochs',
    ),
    (
      {'augment': 'cutmix', 'batch_size': 1},
      '--augment=cutmix mixes the images of a batch',
      '2 or more is sensible',
    ),
    (
      {'class_weights': 'effective', 'balanced_sampling': True},
      '--class_weights=effective beside --balanced_sampling',
      'omit one of the two',
    ),
  ],
)  # fmt: skip
def test_a_value_that_is_hardly_meant_is_named_with_a_sensible_one(
  warnings, options, value, sensible
):
  (warning,) = warnings(**options)
  assert value in warning
  assert sensible in warning


def test_copies_of_a_record_that_fill_the_buffer_are_told(
  warnings, monkeypatch
):
  assert warnings(balanced_sampling=True, batch_size=4) == []
  monkeypatch.setattr(record_order, 'shuffle_buffer', lambda dataset: 3)
  (warning,) = warnings(balanced_sampling=True, batch_size=4)
  assert '--cache shuffles all records' in warning
  assert warnings(balanced_sampling=True, batch_size=4, cache=True) == []


def test_what_is_evaluated_within_training_may_have_patience(warnings):
  assert warnings(early_stop_patience=3, eval_every_n_steps=2) == []


def test_the_largest_usual_values_need_no_advice(warnings):
  assert warnings(learning_rate=10.0, batch_size=40, train_image_size=7) == []
