"""Warnings of options that are valid, and hardly meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from engine.config import resolve
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from engine.optimization import schedules
from nets import nets_factory

# Option -> a value that is far above all usual ones, and a usual one.
_HIGH = {'learning_rate': (10, 0.01), 'weight_decay': (1, 0.00004)}
# Shares of 1, at which nothing changes any more -> a usual value.
_SHARES = {
  'momentum': 0.9,
  'rmsprop_momentum': 0.9,
  'rmsprop_decay': 0.9,
  'adadelta_rho': 0.95,
  'adam_beta1': 0.9,
  'adam_beta2': 0.999,
  'moving_average_decay': 0.9999,
  'batch_norm_decay': 0.997,
  'label_smoothing': 0.1,
}
# Option -> another one, and its value without which it does nothing; any if None.
_NEEDS = {
  'focal_gamma': ('loss', 'focal'),
  'focal_alpha': ('loss', 'focal'),
  'class_weights_beta': ('class_weights', 'effective'),
  'distillation_temperature': ('teacher_checkpoint', None),
  'distillation_weight': ('teacher_checkpoint', None),
}
# Part of a network's image size below which its last maps are a pixel or two.
_USEFUL_PART = 4


def of_training(setup: Setup[TrainJob], explicit: Collection[str]) -> list[str]:
  """Returns a line for each option that will hardly do what was meant.

  Args:
    setup: the resolved job.
    explicit: the options set by flags.
  """
  return [
    *_of_numbers(setup.job),
    *_of_idle(setup.job, explicit),
    *_of_schedule(setup),
    *_of_data(setup),
    *_of_evaluation(setup.job, explicit),
  ]


def _of_numbers(job: TrainJob) -> Iterator[str]:
  for name, (high, usual) in _HIGH.items():
    if (value := getattr(job, name)) > high:
      yield f'--{name}={value:g} is very high: {usual:g} is usual.'
  for name, usual in _SHARES.items():
    if (value := getattr(job, name)) is not None and value >= 1:
      yield f'--{name}={value:g} should be below 1: {usual:g} is usual.'


def _of_idle(job: TrainJob, explicit: Collection[str]) -> Iterator[str]:
  for name, (other, needed) in _NEEDS.items():
    chosen = getattr(job, other)
    works = chosen == needed if needed else bool(chosen)
    if name in explicit and not works:
      value = f'={needed}' if needed else ''
      yield (
        f'--{name}={getattr(job, name):g} does nothing here without '
        f'--{other}{value}.'
      )


def _of_schedule(setup: Setup[TrainJob]) -> Iterator[str]:
  job = setup.job
  falls = job.learning_rate_decay_type in ('polynomial', 'cosine')
  if falls and job.end_learning_rate > job.learning_rate:
    yield (
      f'--end_learning_rate={job.end_learning_rate:g} is above '
      f'--learning_rate={job.learning_rate:g}, so the rate rises: '
      f'{job.learning_rate / 100:g} is usual.'
    )
  span = schedules.span(
    job, setup.dataset.num_records, resolve.images_per_step(setup)
  )
  last = job.max_number_of_steps
  if last and span.warmup >= last:
    yield (
      f'--warmup_epochs={job.warmup_epochs:g} are {span.warmup} steps, and the '
      f'run has {last}: it never reaches its learning rate. A tenth of the run '
      'is usual.'
    )


def _of_data(setup: Setup[TrainJob]) -> Iterator[str]:
  job, dataset = setup.job, setup.dataset
  if (images := resolve.images_per_step(setup)) > dataset.num_records:
    least = max(1, min(32, dataset.num_records // 10))
    flag, value = 'batch_size', least
    if job.accumulate_steps > 1 and job.batch_size <= dataset.num_records:
      flag, value = 'accumulate_steps', max(1, least // job.batch_size)
    yield (
      f'--{flag}={getattr(job, flag)}: the {images} images of a step are more '
      f'than the {dataset.num_records} records of {dataset.name}/'
      f'{dataset.split}, so each repeats some; {value} is sensible.'
    )
  network = nets_factory.NETWORKS[job.model_name]
  if setup.image_size < network.image_size // _USEFUL_PART:
    yield (
      f'--train_image_size={setup.image_size} leaves {network.name}, which is '
      f'made for {network.image_size}, next to nothing in its last layers: '
      f'{network.image_size // 2} or more is sensible.'
    )
  dropped = dataset.class_names[: job.labels_offset]
  if dropped and dropped != ('background',):
    yield (
      f'--labels_offset={job.labels_offset} drops the class '
      f'{", ".join(map(repr, dropped))} of {dataset.name}: it is meant for a '
      'background class; 0 keeps all classes.'
    )


def _of_evaluation(job: TrainJob, explicit: Collection[str]) -> Iterator[str]:
  if job.eval_every_n_steps:
    return
  for name in ('early_stop_patience', 'best_metric'):
    if name in explicit:
      yield (
        f'--{name}={getattr(job, name)} does nothing here without '
        '--eval_every_n_steps, such as 1000; eval_image_classifier_loop.py '
        'takes it too.'
      )
