"""Warnings of options that are valid, and hardly meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from datasets import record_order
from engine.config import resolve
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from engine.optimization import schedules
from nets import nets_factory
from preprocessing.augmentation import BATCH, get_augmentations

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
    *_of_batches(setup),
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
  if falls and not last and span.warmup >= span.total:
    yield (
      f'--learning_rate_decay_type={job.learning_rate_decay_type} falls within '
      f'{span.total} steps, fewer than the {span.warmup} of --warmup_epochs, as '
      'the run has no end: set --num_epochs.'
    )
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


def _of_batches(setup: Setup[TrainJob]) -> Iterator[str]:
  job, dataset = setup.job, setup.dataset
  augmentations = get_augmentations(job.augment)
  if job.batch_size == 1 and augmentations.at(BATCH):
    yield (
      f'--augment={job.augment} mixes the images of a batch, and '
      '--batch_size=1 leaves it nothing to mix: 2 or more is sensible.'
    )
  if not job.balanced_sampling:
    return
  if job.class_weights in ('balanced', 'effective'):
    yield (
      f'--class_weights={job.class_weights} beside --balanced_sampling makes rare '
      'classes count more that are read as often already: omit one of the two.'
    )
  counts = setup.class_counts
  repeats = dataset.num_records // (len(counts) * min(counts))
  buffer = record_order.shuffle_buffer(dataset)
  if not job.cache and repeats * job.batch_size > buffer < dataset.num_records:
    yield (
      f'--balanced_sampling reads a record of the rarest class {repeats:,} times '
      f'in a row, and the {buffer:,} records that are shuffled at once leave '
      'copies of it in a batch: --cache shuffles all records.'
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
