"""The options of every job, each defined once: type, default, check, meaning.

A job is a frozen dataclass. engine/flags.py makes the command-line flags from
its fields, the README's table is printed from them, and job.json keeps them.
"""

import dataclasses
import json
import math
import os
import pathlib
import platform
import tempfile
import typing
from collections.abc import Collection, Mapping
from typing import Any

import files
from datasets.dataset_factory import DATASETS
from deployment.cluster import PS, WORKER
from engine.optimizers import OPTIMIZERS
from engine.schedules import SCHEDULES
from errors import UserError
from nets.attention.attention_factory import ATTENTION_MODULES, PLACEMENTS
from preprocessing.augmentation import AUGMENTATIONS
from preprocessing.preprocessing_factory import PREPROCESSINGS
from registry import unknown
from tf_compat import VERSIONS

# Evaluation's metrics that can choose the best checkpoint; loss counts down.
BEST_METRICS = (
  'Accuracy',
  'Recall_5',
  'loss',
  'macro_precision',
  'macro_recall',
  'macro_f1',
)

TEMP_MODEL = os.path.join(tempfile.gettempdir(), 'tfmodel', '')


def option(
  default: Any,
  meaning: str,
  *,
  known: Collection[str] | None = None,
  lower: float | None = None,
  above: float | None = None,
  upper: float | None = None,
  structure: bool = False,
) -> Any:
  """A field of a job: its default, what it means, and what it accepts.

  Args:
    default: the value when the flag is not given; None for 'not said'.
    meaning: one sentence for --help and the README.
    known: the names it may take.
    lower: the least value.
    above: what it must be more than.
    upper: the greatest value.
    structure: whether it shapes the variables, so that a run cannot be
      resumed with another value.
  """
  checks = {'known': known, 'lower': lower, 'above': above, 'upper': upper}
  return dataclasses.field(
    default=default,
    metadata={'meaning': meaning, 'structure': structure, **checks},
  )


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
  """Raises UserError if an option's value is none that it accepts."""
  if value is None:
    return
  known = metadata['known']
  if known is not None and value not in known:
    raise UserError(unknown(f'--{name}', value, known))
  if isinstance(value, float) and not math.isfinite(value):
    raise UserError(f'--{name}={value}: must be a finite number.')
  if (lower := metadata['lower']) is not None and value < lower:
    raise UserError(f'--{name}={value}: must be at least {lower}.')
  if (above := metadata['above']) is not None and value <= above:
    raise UserError(f'--{name}={value}: must be more than {above}.')
  if (upper := metadata['upper']) is not None and value > upper:
    raise UserError(f'--{name}={value}: must be at most {upper}.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """Checks every option as soon as a job is made."""

  def __post_init__(self):
    for field in dataclasses.fields(self):
      _check(field.name, getattr(self, field.name), field.metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertJob(Job):
  """What download_and_convert_data.py is asked to do."""

  dataset_name: str | None = option(
    None,
    f"The data set: {', '.join(DATASETS)}; 'tfds:' and a name of TensorFlow "
    'Datasets; or any other name, for a folder of photos.',
  )
  dataset_dir: str | None = option(None, 'Where the records go.')
  source_dir: str | None = option(
    None,
    'Local originals (a folder, an archive, or a CSV file of path and label); '
    'without it they are downloaded with a checksum.',
  )
  validation_fraction: float | None = option(
    None,
    'Share of each class for validation, where photos are in no splits; '
    '0.1 if not given.',
    lower=0,
    upper=0.9,
  )
  seed: int = option(
    0, "Seed of that choice and of the order of a folder's photos.", lower=0
  )
  max_rejected_fraction: float = option(
    0.05,
    'Stop when a greater share of the originals cannot be used.',
    lower=0,
    upper=1,
  )
  num_processes: int | None = option(
    None,
    'Processes that convert; as many as there are processors if not given.',
    lower=1,
  )
  resume: bool = option(
    False, 'Go on with a conversion that was stopped, from its whole shards.'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectJob(Job):
  """What inspect_data.py is asked to do."""

  dataset_dir: str | None = option(None, 'The folder of the records.')
  dataset_name: str | None = option(
    None, 'The data set; the one that dataset.json names if not given.'
  )
  output: str | None = option(
    None, 'Draw pictures, raw and preprocessed, into this PNG file.'
  )
  num_images: int = option(12, 'Pictures of each split to draw.', lower=1)
  model_name: str = option(
    'inception_v3', 'The network whose input the pictures are to be.'
  )
  preprocessing_name: str | None = option(
    None,
    'The preprocessing; that of --model_name if not given.',
    known=PREPROCESSINGS,
  )
  image_size: int | None = option(
    None,
    "Side of the input in pixels; the network's own if not given.",
    lower=8,
  )
  num_processes: int | None = option(
    None,
    'Processes that decode; as many as there are processors if not given.',
    lower=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkOptions(Job):
  """Which network, with which attention: common to all jobs with one."""

  model_name: str = option('inception_v3', 'The network.', structure=True)
  attention_module: str | None = option(
    None,
    f'Attention in the network: {", ".join(ATTENTION_MODULES)}, or with '
    "options, 'cbam_block(ratio=16)'.",
    structure=True,
  )
  attention_placement: str | None = option(
    None,
    'Where attention enters: at the end of every block, of every stage but the '
    'last, once before the classifier (class, added to the feature map), or '
    "both there and at the module's own place, which is the default.",
    known=PLACEMENTS,
    structure=True,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListJob(NetworkOptions):
  """What list_networks.py is asked to do."""

  model_name: str | None = option(
    None, 'Print this network layer by layer; not given: all of them.'
  )
  num_classes: int | None = option(
    None,
    'Width of the logits; not given: 1000, or 10 where images are smaller than '
    '64 pixels.',
    lower=1,
  )
  image_size: int | None = option(
    None,
    "Side of the images in pixels; the network's own if not given.",
    lower=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions(NetworkOptions):
  """On which data: common to training and evaluation."""

  dataset_name: str = option('imagenet', 'The data set.')
  dataset_dir: str | None = option(None, 'The folder with its records.')
  labels_offset: int = option(
    0,
    'Subtracted from every label: 1 leaves out a background class that the '
    'network does not have (VGG, ResNet v1).',
    lower=0,
    structure=True,
  )
  preprocessing_name: str | None = option(
    None,
    f'The preprocessing ({", ".join(PREPROCESSINGS)}), or the name of a network '
    'for its own; that of --model_name if not given.',
  )
  use_grayscale: bool = option(
    False, 'Feed the network one gray channel.', structure=True
  )
  fast_preprocessing: bool = option(
    False,
    'Preprocess by cheaper formulas: one affine map for all of inception '
    "training's color changes, vgg's crops by whole pixels of the photo.",
  )
  num_preprocessing_threads: int | None = option(
    None, 'Threads that preprocess; tuned by tf.data if not given.', lower=1
  )
  cache: bool = option(
    False,
    'Keep the records, as they are in their files, in memory after the first '
    'pass; they must fit.',
  )
  skip_bad_records: bool = option(
    False, 'Leave out records that cannot be read, counting and reporting them.'
  )
  xla: bool = option(
    False,
    'Compile what XLA can of the graph on GPUs; CPUs compile only with '
    'TF_XLA_FLAGS=--tf_xla_cpu_global_jit, to try it.',
  )
  master: str = option('', 'A TensorFlow server to run in; here by default.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationOptions(Job):
  """What continuous validation does with its results."""

  best_metric: str = option(
    'Accuracy',
    'The metric that chooses train_dir/best; loss counts downwards.',
    known=BEST_METRICS,
  )
  early_stop_patience: int | None = option(
    None,
    'Stop training after this many evaluations without a better one; '
    'not given: never.',
    lower=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloneOptions(Job):
  """On how many devices of a machine."""

  num_clones: int = option(1, 'Devices that share a step.', lower=1)
  clone_on_cpu: bool = option(
    False, 'Compute on the CPU, with a logical one for each clone.'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainJob(ModelOptions, ValidationOptions, CloneOptions):
  """What train_image_classifier.py is asked to do."""

  train_dir: str = option(
    TEMP_MODEL, 'Where checkpoints, events, curves and the job are written.'
  )
  dataset_split_name: str = option('train', 'The split to train on.')
  batch_size: int = option(32, 'Images in a step, per clone.', lower=1)
  train_image_size: int | None = option(
    None,
    "Side of the images in pixels; the network's own if not given.",
    lower=1,
  )
  max_number_of_steps: int | None = option(
    None, 'Stop at this step; not given: for ever.', lower=1
  )
  augment: str | None = option(
    None,
    f'Distort further, on top of any recipe: {", ".join(AUGMENTATIONS)}; with '
    "options and joined by +, 'randaugment(layers=2, magnitude=9)+mixup'.",
  )
  num_readers: int | None = option(
    None, 'Record files read at once; tuned by tf.data if not given.', lower=1
  )
  seed: int | None = option(
    None,
    'Seed of weights, shuffling, augmentation and dropout: with one input '
    'thread (--num_readers=1 --num_preprocessing_threads=1) a run repeats '
    'exactly on the same machine (GPUs need TF_DETERMINISTIC_OPS=1 as well).',
    lower=0,
  )

  weight_decay: float = option(0.00004, 'The factor of L2 on weights.', lower=0)
  label_smoothing: float = option(
    0.0, 'Share of the label spread over all classes.', lower=0, upper=1
  )
  batch_norm_decay: float | None = option(
    None,
    "Decay of batch norm's moving averages; the network's own if not given. "
    'Short runs need a smaller one, 0.9 say.',
    lower=0,
    upper=1,
  )
  moving_average_decay: float | None = option(
    None,
    'Keep moving averages of all weights with this decay; not given: none.',
    lower=0,
    upper=1,
  )
  gradient_clip_norm: float | None = option(
    None, 'Scale gradients down to this global norm.', above=0
  )
  mixed_precision: str | None = option(
    None,
    'Compute in float32, or where it is safe in bfloat16 (CPUs) or float16 '
    'with loss scaling (GPUs).',
    known=('float32', 'bfloat16', 'float16'),
  )
  stop_on_nan: bool = option(
    True, 'Stop when the loss is no longer finite, keeping the last checkpoint.'
  )

  optimizer: str = option(
    'rmsprop', 'The optimizer.', known=OPTIMIZERS, structure=True
  )
  opt_epsilon: float = option(
    1.0, 'Epsilon of adadelta, adam and rmsprop.', lower=0
  )
  adadelta_rho: float = option(0.95, "Adadelta's decay.", lower=0)
  adagrad_initial_accumulator_value: float = option(
    0.1, "Start of Adagrad's accumulators.", above=0
  )
  adam_beta1: float = option(0.9, "Adam's decay of the mean.", lower=0)
  adam_beta2: float = option(0.999, "Adam's decay of the square.", lower=0)
  ftrl_learning_rate_power: float = option(
    -0.5, "FTRL's learning rate power.", upper=0
  )
  ftrl_initial_accumulator_value: float = option(
    0.1, "Start of FTRL's accumulators.", lower=0
  )
  ftrl_l1: float = option(0.0, "FTRL's L1.", lower=0)
  ftrl_l2: float = option(0.0, "FTRL's L2.", lower=0)
  momentum: float = option(0.9, 'Momentum of the momentum optimizer.', lower=0)
  rmsprop_momentum: float = option(0.9, "RMSProp's momentum.", lower=0)
  rmsprop_decay: float = option(0.9, "RMSProp's decay.", lower=0)

  learning_rate: float = option(0.01, 'The initial learning rate.', lower=0)
  learning_rate_decay_type: str = option(
    'exponential', 'How the learning rate falls.', known=SCHEDULES
  )
  learning_rate_decay_factor: float = option(
    0.94, 'The factor of each exponential decay.', above=0
  )
  num_epochs_per_decay: float = option(
    2.0,
    'Epochs between exponential decays; length of polynomial and cosine decay '
    'where --max_number_of_steps is not given.',
    above=0,
  )
  end_learning_rate: float = option(
    0.0001, 'Where polynomial and cosine decay end.', lower=0
  )
  warmup_epochs: float = option(
    0.0, 'Epochs in which the learning rate rises from 0.', lower=0
  )

  checkpoint_path: str | None = option(
    None, 'Fine-tune from this checkpoint, a file or a folder.'
  )
  checkpoint_exclude_scopes: str | None = option(
    None, 'Scopes not to restore from it, separated by commas.'
  )
  trainable_scopes: str | None = option(
    None, 'Train these scopes only, separated by commas.'
  )
  ignore_missing_vars: bool = option(
    False, 'Initialise what that checkpoint lacks instead of refusing it.'
  )

  log_every_n_steps: int = option(10, 'Steps between log lines.', lower=1)
  save_summaries_secs: int = option(600, 'Seconds between summaries.', lower=0)
  save_interval_secs: int = option(600, 'Seconds between checkpoints.', lower=0)
  keep_checkpoint_max: int = option(
    5, 'Checkpoints to keep, the newest; 0 keeps all.', lower=0
  )
  eval_every_n_steps: int | None = option(
    None,
    'Save and evaluate every so many steps, within training; not given: leave '
    'it to eval_image_classifier_loop.py.',
    lower=1,
  )

  sync_batch_norm: bool = option(
    False, "Batch norm's mean and variance are of all clones' images together."
  )
  worker_hosts: str | None = option(
    None,
    'The workers that train together, host:port of each, separated by commas; '
    'the same in all processes; TF_CONFIG can say it instead.',
  )
  ps_hosts: str | None = option(
    None, 'The parameter servers, which keep the variables; likewise.'
  )
  job_name: str = option(WORKER, 'What this process is.', known=(WORKER, PS))
  task: int = option(
    0, "This process's number; worker 0 is the chief, which writes.", lower=0
  )
  worker_replicas: int = option(
    1, 'Worker processes: as many as --worker_hosts names.', lower=1
  )
  num_ps_tasks: int = option(
    0, 'Parameter server processes: as many as --ps_hosts names.', lower=0
  )
  worker_timeout_secs: int = option(
    600,
    'How long to wait for the other processes, at the start and in a step; '
    'more than saving or an evaluation within training takes.',
    lower=1,
  )
  sync_replicas: bool = option(
    False, 'Workers of parameter servers step together.'
  )
  replicas_to_aggregate: int | None = option(
    None, 'Gradients to wait for in a step; all workers if not given.', lower=1
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointOptions(ModelOptions):
  """Which trained network, on which split."""

  checkpoint_path: str = option(
    TEMP_MODEL,
    'The checkpoint, or a folder of which the newest one is taken.',
  )
  dataset_split_name: str | None = option(
    None, "The split; the data set's own evaluation split if not given."
  )
  eval_image_size: int | None = option(
    None,
    "Side of the images in pixels; the network's own if not given.",
    lower=1,
  )
  moving_average_decay: float | None = option(
    None,
    'Not 0: evaluate the moving averages of the weights; 0: the raw weights; '
    'not given: as trained.',
    lower=0,
    upper=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalJob(CheckpointOptions, CloneOptions):
  """What eval_image_classifier.py is asked to do."""

  eval_dir: str | None = option(
    None, "Where results go; 'eval' in the checkpoint's folder if not given."
  )
  batch_size: int = option(100, 'Images in a step, per clone.', lower=1)
  max_num_batches: int | None = option(
    None, 'Evaluate at most this many batches; not given: all.', lower=1
  )
  predictions_file: str | None = option(
    None, "Write each record's label and five best guesses to this CSV file."
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalLoopJob(EvalJob, ValidationOptions):
  """What eval_image_classifier_loop.py is asked to do."""

  eval_interval_secs: int = option(
    600, 'Seconds between looks for new checkpoints.', lower=0
  )
  eval_timeout_secs: int | None = option(
    None,
    'End when no new checkpoint came for so many seconds; not given: when '
    'training has finished.',
    lower=0,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisualizeJob(CheckpointOptions):
  """What visualize_attention.py is asked to do."""

  moving_average_decay: float | None = option(
    None,
    'Not 0: look at the moving averages of the weights; 0: at the raw weights; '
    'not given: as trained.',
    lower=0,
    upper=1,
  )
  images: str | None = option(
    None,
    'Image files, separated by commas, or a folder of them; not given: records '
    'of the data set.',
  )
  num_images: int = option(
    8, 'At most so many of the images.', lower=1, upper=100
  )
  num_classes: int | None = option(
    None,
    'Classes of the network, where there is no job.json and the data set does '
    'not say.',
    lower=2,
  )
  class_name: str | None = option(
    None,
    'Explain this class, by its name or number, in place of the predicted one.',
  )
  end_point: str | None = option(
    None,
    'The feature map for Grad-CAM, by its name; the last one if not given.',
  )
  points: str | None = option(
    None,
    'Attention to show, separated by commas: first, last, all, none, numbers '
    'from 0, or scopes such as block4; not given: the last of each map size.',
  )
  output_dir: str | None = option(
    None,
    'Where a picture of each map and the arrays (.npz) of each image go; none '
    'are written if not given.',
  )
  output_file: str | None = option(
    None,
    'The grid of pictures, a PNG; attention.png in --output_dir, or in the '
    "checkpoint's folder, if not given.",
  )

  @property
  def batch_size(self) -> int:
    """Records are read as one batch."""
    return self.num_images


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareJob(TrainJob):
  """What compare_attention.py is asked to do."""

  train_dir: str | None = option(
    None,
    'The folder of the comparison: receives the table, and a train_dir for each '
    'run.',
  )
  attention_modules: str = option(
    'none;se_block;cbam_block',
    'What to compare, separated by semicolons, each with its options and its '
    "placement: 'none;cbam_block(ratio=16);cbam_block@class'.",
  )
  seeds: str = option(
    '1', 'Seeds, separated by commas: a run of each for each attention.'
  )
  eval_split_name: str | None = option(
    None,
    "The split to evaluate on; the data set's own evaluation split if not "
    'given.',
  )
  eval_batch_size: int = option(100, 'Images in a step of evaluation.', lower=1)
  timing_steps: int = option(
    20,
    'Steps of which the median is told, made in turns when all is trained; 0: '
    'none.',
    lower=0,
  )


def types(job_class: type[Job]) -> dict[str, type]:
  """Option name -> str, int, float or bool, in the order of definition."""
  hints = typing.get_type_hints(job_class)
  return {
    name: next(t for t in (*typing.get_args(hint), hint) if t is not type(None))
    for name, hint in hints.items()
  }


def write(job: TrainJob, facts: Mapping[str, Any]) -> None:
  """Writes train_dir/job.json: every option, what was found, versions.

  Args:
    job: the resolved job.
    facts: what the options do not say: the data set's classes and records.
  """
  content = {
    'options': dataclasses.asdict(job),
    **facts,
    'versions': {'python': platform.python_version(), **VERSIONS},
  }
  path = pathlib.Path(job.train_dir, 'job.json')
  files.write_text(path, json.dumps(content, indent=2) + '\n')


def read(folder: str | pathlib.Path) -> dict[str, Any] | None:
  """The content of a folder's job.json; None where there is none.

  Raises:
    UserError: if the file is there but is not a job.
  """
  path = pathlib.Path(folder, 'job.json')
  try:
    content = json.loads(path.read_text())
    for name in ('model_name', 'attention_module', 'dataset_name'):
      content['options'][name]
    int(content['num_classes'])
  except FileNotFoundError:
    return None
  except (ValueError, KeyError, TypeError) as error:
    raise UserError(
      f'{path} is not a job that training wrote ({error}): delete it to go by '
      "the checkpoint's variables alone."
    ) from error
  return content
