"""Resolves flags into a complete job, before any graph is built."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from datasets import class_counts, dataset_factory
from datasets.bad_records import check_ends
from datasets.dataset import Dataset
from datasets.dataset_factory import DATASETS
from deployment import clones, grpc_server, multi_worker, parameter_servers
from deployment import cluster as clusters
from deployment.cluster import Cluster
from deployment.options import CloneOptions, DeploymentOptions
from engine import console
from engine.checkpoints import store
from engine.config import imported, job_file, precedence, teacher
from engine.config.jobs import (
  CheckpointOptions,
  EvalJob,
  ExportJob,
  ImageOptions,
  ModelOptions,
  NetworkOptions,
  PredictJob,
  TrainJob,
  VisualizeJob,
)
from engine.config.teacher import Teacher
from engine.optimization import class_weights, schedules
from engine.optimization.optimizers import OPTIMIZERS
from errors import UserError
from nets import nets_factory
from nets.spec import NetworkSpec
from options import Options
from registry import abbreviated

JobT = TypeVar('JobT', bound=ModelOptions)
CheckpointJobT = TypeVar('CheckpointJobT', bound=CheckpointOptions)
ImagesJobT = TypeVar('ImagesJobT', bound=ImageOptions)


@dataclasses.dataclass(frozen=True)
class Setup(Generic[JobT]):
  """A resolved job, and the facts its options do not state.

  Attributes:
    job: with network, preprocessing, image size and split all set.
    dataset: the records it reads.
    num_classes: classes of the network, after labels_offset.
    channels: channels of the images that the network takes.
    image_size: their side in pixels.
    cluster: the processes that train together; None for one.
    checkpoint: the readable checkpoint that training starts from, or that is
      exported; or None.
    is_resumed: whether that is a checkpoint of the same run.
    class_counts: records of each class of the network, if training needs them.
    class_weights: weight of each class in the loss; None weighs all alike.
    teacher: the network of --teacher_checkpoint; None without.
  """

  job: JobT
  dataset: Dataset
  num_classes: int
  channels: int
  image_size: int
  cluster: Cluster | None = None
  checkpoint: str | None = None
  is_resumed: bool = False
  class_counts: tuple[int, ...] = ()
  class_weights: tuple[float, ...] | None = None
  teacher: Teacher | None = None

  @property
  def is_chief(self) -> bool:
    """Whether this process writes checkpoints, events and results."""
    return self.cluster is None or self.cluster.is_chief

  @property
  def shard(self) -> tuple[int, int]:
    """The number of processes that share the records, and this one's index."""
    if self.cluster is None:
      return 1, 0
    return len(self.cluster.workers), self.cluster.task

  @property
  def start_step(self) -> int:
    """The step that training starts at: 0 unless it is resumed."""
    if not (self.is_resumed and self.checkpoint):
      return 0
    return store.step_of(self.checkpoint)

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the network's classes."""
    return self.dataset.class_names[self.job.labels_offset :]

  def network_fn(self, is_training: bool) -> nets_factory.NetworkFn:
    """Returns a function (images) -> (logits, end points) of the job.

    Args:
      is_training: whether to apply dropout and use batch statistics.
    """
    job = self.job
    return nets_factory.get_network_fn(
      job.model_name,
      self.num_classes,
      weight_decay=_l2_weight(job),
      is_training=is_training,
      attention_module=job.attention_module,
      attention_placement=job.attention_placement,
      batch_norm_decay=getattr(job, 'batch_norm_decay', None),
      padding=job.padding,
      stochastic_depth_rate=getattr(job, 'stochastic_depth_rate', 0.0),
    )


def _l2_weight(job: ModelOptions) -> float:
  """Returns the weight of the L2 loss of a network: 0 but for training."""
  if not isinstance(job, TrainJob):
    return 0.0
  return 0.0 if OPTIMIZERS[job.optimizer].decays_weights else job.weight_decay


# Options in epochs -> the same in steps.
IN_EPOCHS = {
  'num_epochs': 'max_number_of_steps',
  'eval_every_n_epochs': 'eval_every_n_steps',
  'save_every_n_epochs': 'save_every_n_steps',
}


def images_per_step(setup: Setup[TrainJob]) -> int:
  """Returns the size of all batches that make a training step together."""
  job, (workers, _) = setup.job, setup.shard
  batches = workers * job.num_clones
  if setup.cluster and setup.cluster.servers:
    synced = job.replicas_to_aggregate or workers
    batches = synced if job.sync_replicas else 1
  return job.batch_size * batches * job.accumulate_steps


def _in_steps(
  setup: Setup[TrainJob], explicit: Collection[str]
) -> Setup[TrainJob]:
  """Sets the options in steps that others give in epochs.

  Raises:
    UserError: if flags give both.
  """
  changes: dict[str, Any] = {}
  chosen = {n for n in explicit if getattr(setup.job, n, None) is not None}
  for epochs, steps in IN_EPOCHS.items():
    if {epochs, steps} <= chosen:
      raise UserError(f'--{epochs} and --{steps} mean the same: omit one.')
    if steps in chosen:
      changes[epochs] = None
    elif count := getattr(setup.job, epochs):
      changes[steps] = max(
        1,
        schedules.steps(
          count, setup.dataset.num_records, images_per_step(setup)
        ),
      )
  job = dataclasses.replace(setup.job, **changes)
  return dataclasses.replace(setup, job=job)


def training(job: TrainJob, explicit: Collection[str]) -> Setup[TrainJob]:
  """Resolves a training job: where it starts, and on which records.

  Args:
    job: the job that the flags describe.
    explicit: the options set by flags, which win over a recorded job's.

  Raises:
    UserError: for wrong input.
  """
  _require(job, 'train_dir', 'the folder for checkpoints and events')
  _check_paths(job)
  cluster = find_cluster(job)
  if cluster is None:
    grpc_server.check_master(job.master)
  _check_devices(job)
  if cluster and cluster.servers and job.accumulate_steps > 1:
    raise UserError(
      f'--accumulate_steps={job.accumulate_steps} cannot be combined with '
      'parameter servers, which apply each gradient that arrives: omit it, or '
      'use --sync_replicas with more workers.'
    )
  is_remote = bool(job.master or (cluster and cluster.servers))
  _check_pattern(job.train_dir, 'train_dir', is_remote)
  checkpoint = _newest(job.train_dir)
  is_resumed = checkpoint is not None
  recorded = job_file.read(job.train_dir) if is_resumed else None
  source = os.path.join(job.train_dir, 'job.json')
  if recorded:
    names = {*recorded['options']} - {*precedence.NOT_INHERITED_ON_RESUME}
    job = precedence.inherit(job, explicit, recorded, names, source)
    precedence.refuse_other_structure(job, recorded)
  elif not is_resumed and job.checkpoint_path:
    path = imported.checkpoint_path(
      job.checkpoint_path, _explicit_network(job, explicit)
    )
    job = dataclasses.replace(job, checkpoint_path=path)
    _check_pattern(path, 'checkpoint_path', is_remote)
    checkpoint = store.find(path)
    job = _fine_tuning(job, explicit, checkpoint)
  check_data_dir(job, recorded, source)
  job, dataset = read_data(job, job.dataset_split_name)
  if job.report:
    # The report evaluates on it at the end.
    dataset_factory.evaluation_split(
      job.dataset_name, job.dataset_dir or '', job.file_pattern
    )
  setup = _setup(job, dataset, 'train_image_size')
  if recorded:
    _check_classes(setup, recorded, job.train_dir)
    _tell_other_records(setup.dataset, recorded, source)
  setup = dataclasses.replace(
    setup, cluster=cluster, checkpoint=checkpoint, is_resumed=is_resumed
  )
  setup = _in_steps(setup, explicit)
  if setup.is_chief:
    check_writable(job.train_dir, '--train_dir')
  return _with_class_balance(_with_teacher(setup))


def _with_teacher(setup: Setup[TrainJob]) -> Setup[TrainJob]:
  """Finds the teacher, if the job names one; the job then names its checkpoint.

  Raises:
    UserError: if it does not fit the job.
  """
  if not setup.job.teacher_checkpoint:
    return setup
  if setup.cluster and setup.cluster.servers:
    raise UserError(
      '--teacher_checkpoint cannot be combined with parameter servers: omit it, '
      'or train with --worker_hosts alone.'
    )
  found = teacher.find(
    setup.job,
    setup.class_names,
    setup.channels,
    setup.image_size,
  )
  job = dataclasses.replace(setup.job, teacher_checkpoint=found.checkpoint)
  return dataclasses.replace(setup, job=job, teacher=found)


def _with_class_balance(setup: Setup[TrainJob]) -> Setup[TrainJob]:
  """Sets counts and weights of the classes, if the job asks for them.

  Raises:
    UserError: for weights that cannot be used, an empty class that is to be
      sampled, or balanced sampling with --skip_bad_records.
  """
  job, dataset = setup.job, setup.dataset
  if not (job.class_weights or job.balanced_sampling):
    return setup
  if job.balanced_sampling and job.skip_bad_records:
    raise UserError(
      '--balanced_sampling counts on the label of every record, so it cannot be '
      'combined with --skip_bad_records: convert the data again.'
    )
  class_weights.check(job, setup.class_names)
  if job.class_weights and class_weights.is_csv(job.class_weights):
    # Absolute, as the run may be resumed from another working directory.
    path = os.path.abspath(job.class_weights)
    job = dataclasses.replace(job, class_weights=path)
  with console.bar(dataset.num_records, unit='record') as bar:
    counts = class_counts.count(dataset, bar.update)[job.labels_offset :]
  empty = [setup.class_names[label] for label in np.flatnonzero(counts == 0)]
  if job.balanced_sampling and empty:
    raise UserError(
      f'--balanced_sampling: {len(empty)} of {len(counts)} classes of '
      f'{dataset.name}/{dataset.split} have no records: {abbreviated(empty)}. '
      'Convert the data without them, or use --class_weights=balanced.'
    )
  weights = class_weights.of_job(job, counts, setup.class_names)
  return dataclasses.replace(
    setup,
    job=job,
    class_counts=tuple(counts.tolist()),
    class_weights=None if weights is None else tuple(weights.tolist()),
  )


def evaluation(
  job: EvalJob, explicit: Collection[str], is_recorded: bool = True
) -> Setup[EvalJob]:
  """Resolves an evaluation; options not set come from the checkpoint's job.

  Args:
    job: the job that the flags describe.
    explicit: the options set by flags.
    is_recorded: whether job.json, if there is one, is that of the checkpoints.

  Raises:
    UserError: for wrong input.
  """
  _check_paths(job)
  _check_devices(job)
  job, recorded, folder = _complete_from_checkpoint(job, explicit, is_recorded)
  eval_dir = job.eval_dir or str(folder / 'eval')
  job = dataclasses.replace(job, eval_dir=eval_dir)
  setup = _on_records(job, recorded, folder)
  check_writable(eval_dir, '--eval_dir')
  if job.predictions_file:
    check_writable(os.path.dirname(job.predictions_file), '--predictions_file')
  return setup


def visualization(
  job: VisualizeJob, explicit: Collection[str]
) -> Setup[VisualizeJob]:
  """Resolves a visualization of image files or of an evaluation's records.

  For image files, the setup's data set has no records, only class names.

  Args:
    job: the job that the flags describe.
    explicit: the options set by flags.

  Raises:
    UserError: for wrong input.
  """
  _check_paths(job)
  job, recorded, folder = _complete_from_checkpoint(job, explicit)
  if job.images is None:
    setup = _on_records(job, recorded, folder)
    _check_num_classes(setup, recorded, folder)
    return setup
  return _on_images(job, recorded, folder)


def prediction(job: PredictJob, explicit: Collection[str]) -> Setup[PredictJob]:
  """Resolves a prediction: the setup's data set has only class names.

  Args:
    job: the job that the flags describe.
    explicit: the options set by flags.

  Raises:
    UserError: for wrong input.
  """
  _require(job, 'images', 'files, folders or lists of images')
  _check_paths(job)
  job, recorded, folder = _complete_from_checkpoint(job, explicit)
  store.find(job.checkpoint_path)
  if not recorded:
    _require_description(('model_name',), explicit, folder)
  return _on_images(job, recorded, folder)


def _require_description(
  needed: Collection[str], explicit: Collection[str], folder: pathlib.Path
) -> None:
  """Raises UserError unless flags say what a missing job.json would."""
  if missing := [f'--{name}' for name in needed if name not in explicit]:
    raise UserError(
      f'{folder} has no job.json: set {", ".join(missing)}, and as in training '
      '--attention_module, --preprocessing_name, --eval_image_size and '
      '--labels_offset if they were set.'
    )


def exporting(job: ExportJob, explicit: Collection[str]) -> Setup[ExportJob]:
  """Resolves an export; the setup's data set is what the model is tested on.

  Args:
    job: the job that the flags describe.
    explicit: the options set by flags.

  Raises:
    UserError: for wrong input.
  """
  _check_paths(job)
  job, recorded, folder = _complete_from_checkpoint(job, explicit)
  checkpoint = store.find(job.checkpoint_path)
  if not recorded:
    needed = ('model_name', 'dataset_name', 'dataset_dir')
    _require_description(needed, explicit, folder)
  setup = _on_records(job, recorded, folder)
  return dataclasses.replace(setup, checkpoint=checkpoint)


def _on_images(
  job: ImagesJobT, recorded: Mapping[str, Any] | None, folder: pathlib.Path
) -> Setup[ImagesJobT]:
  """Returns the setup of a trained network on image files."""
  setup = _setup(job, _without_records(job, recorded), 'eval_image_size')
  _check_num_classes(setup, recorded, folder)
  return setup


def _check_num_classes(
  setup: Setup, recorded: Mapping[str, Any] | None, folder: pathlib.Path
) -> None:
  """Raises UserError if --num_classes is set and wrong."""
  num_classes = setup.job.num_classes or setup.num_classes
  if num_classes != setup.num_classes:
    raise UserError(
      f'--num_classes={num_classes} contradicts the {setup.num_classes} '
      f'classes of {folder / "job.json" if recorded else setup.dataset.name}: '
      'omit it.'
    )


def _explicit_network(
  job: NetworkOptions, explicit: Collection[str]
) -> str | None:
  """Returns --model_name, or None if it is not set."""
  return job.model_name if 'model_name' in explicit else None


def import_checkpoint(
  job: CheckpointJobT, explicit: Collection[str]
) -> CheckpointJobT:
  """Returns the job with a checkpoint, if it names weights to import."""
  path = imported.checkpoint_path(
    job.checkpoint_path, _explicit_network(job, explicit)
  )
  return dataclasses.replace(job, checkpoint_path=path)


def _complete_from_checkpoint(
  job: CheckpointJobT, explicit: Collection[str], is_recorded: bool = True
) -> tuple[CheckpointJobT, Mapping[str, Any] | None, pathlib.Path]:
  """Returns the job completed from job.json, its content or None, its folder."""
  grpc_server.check_master(job.master)
  job = import_checkpoint(job, explicit)
  _check_pattern(job.checkpoint_path, 'checkpoint_path', bool(job.master))
  folder = store.folder_of(job.checkpoint_path)
  recorded = job_file.read(folder) if is_recorded else None
  if recorded:
    names: Collection[str] = precedence.INHERITED_BY_EVALUATION
    if 'dataset_name' in explicit and (
      job.dataset_name != recorded['options']['dataset_name']
    ):
      names = [name for name in names if name != 'dataset_dir']
    if {'dataset_name', 'dataset_dir'} & {*explicit}:
      names = [name for name in names if name != 'file_pattern']
    job = precedence.inherit(
      job, explicit, recorded, names, f'{folder}/job.json'
    )
    precedence.refuse_other_model(job, recorded, folder)
  return job, recorded, folder


def _on_records(
  job: CheckpointJobT, recorded: Mapping[str, Any] | None, folder: pathlib.Path
) -> Setup[CheckpointJobT]:
  """Returns the setup of a trained network on the records of a split."""
  check_data_dir(job, recorded, f'{folder}/job.json')
  split = job.dataset_split_name
  if split is None and job.dataset_dir:
    split = dataset_factory.evaluation_split(
      job.dataset_name, job.dataset_dir, job.file_pattern
    )
  job, dataset = read_data(job, split)
  setup = _setup(job, dataset, 'eval_image_size')
  if recorded:
    _check_classes(setup, recorded, folder)
  return setup


def _without_records(
  job: ImageOptions, recorded: Mapping[str, Any] | None
) -> Dataset:
  """Returns the data set as far as it is known without its records."""
  name = job.dataset_name
  known = name in DATASETS
  if recorded:
    num_classes = recorded['num_classes'] + job.labels_offset
  elif job.num_classes:
    num_classes = job.num_classes + job.labels_offset
  elif known:
    num_classes = DATASETS[name].num_classes
  else:
    raise UserError(
      'The number of classes is unknown: set --num_classes, or --dataset_name '
      f'to one of {", ".join(DATASETS)}.'
    )
  folder = pathlib.Path(job.dataset_dir) if job.dataset_dir else None
  class_names = dataset_factory.class_names(name, folder, num_classes)
  if recorded and recorded.get('class_names') and not folder:
    # Those of imported weights, which have no label for a background.
    before = class_names[: job.labels_offset]
    class_names = (*before, *recorded['class_names'])
  channels = DATASETS[name].channels if known else 3
  return Dataset(
    name=name,
    split='',
    files=(),
    num_records=0,
    num_classes=num_classes,
    channels=recorded.get('channels', channels) if recorded else channels,
    class_names=class_names,
  )


def _newest(train_dir: str) -> str | None:
  """Finds the checkpoint to resume from; UserError if all are damaged."""
  newest = store.newest_readable(train_dir)
  if newest is None and store.in_folder(train_dir):
    raise UserError(
      f'All checkpoints in {train_dir} are damaged (see above): restore one from '
      'a backup, or start in another --train_dir.'
    )
  best = pathlib.Path(train_dir, 'best')
  if newest is None and store.in_folder(best):
    raise UserError(
      f'{best} holds the best checkpoint of an earlier run, whose other '
      'checkpoints are deleted: move it away, or start in another --train_dir.'
    )
  if newest:
    _check_step(newest)
  return newest


def _check_step(checkpoint: str) -> None:
  """Raises UserError unless a checkpoint is of the step that its name says.

  It may be of a later one: workers that do not wait make steps while it is saved.
  """
  step = store.recorded_step(checkpoint)
  if step is None or store.step_of(checkpoint) < 0:
    raise UserError(
      f'{checkpoint} is no checkpoint of a run, which would be named '
      f'{store.PREFIX}-N after its global_step. To start from its weights, move '
      'it out of --train_dir, and set --checkpoint_path to it.'
    )
  if step < store.step_of(checkpoint):
    raise UserError(
      f'{checkpoint} was saved at step {step}, contrary to its name: rename its '
      f'files to {store.PREFIX}-{step}.*.'
    )


def _check_paths(job: Options) -> None:
  """Raises UserError for a path that TensorFlow cannot take."""
  for field in dataclasses.fields(job):
    path = getattr(job, field.name)
    if field.metadata['path'] and path:
      try:
        path.encode()
      except UnicodeEncodeError as error:
        raise UserError(
          f'--{field.name}={path}: TensorFlow takes only paths in UTF-8: rename '
          'the folder or file.'
        ) from error


def _check_pattern(path: str, flag: str, is_remote: bool) -> None:
  """Raises UserError if another process would read the path as a pattern.

  In this process, a link stands for the folder; others do not see it.
  """
  if is_remote and store.is_pattern(path):
    raise UserError(
      f'--{flag}={path}: TensorFlow servers read a path with any of [ ] * ? \\ '
      'as a pattern: rename the folder.'
    )


def _require(job: Options, name: str, meaning: str) -> None:
  """Raises UserError unless an option is set."""
  if not getattr(job, name):
    raise UserError(f'--{name} is required: {meaning}.')


def _check_devices(job: CloneOptions) -> None:
  """Raises UserError unless there is a GPU for every clone."""
  if job.num_clones > 1 and not job.clone_on_cpu:
    clones.check_gpus(job.num_clones)


def find_cluster(options: DeploymentOptions) -> Cluster | None:
  """Returns the processes that train together; None for one.

  Raises:
    UserError: for flags that are missing, malformed or contradictory.
  """
  cluster = clusters.find(options, os.environ)
  multi_worker.check(options, cluster)
  parameter_servers.check(options, cluster)
  return cluster


def check_writable(folder: str, flag: str) -> None:
  """Raises UserError unless files can be written into a folder.

  Args:
    folder: the folder, which need not exist.
    flag: the flag that chooses it.
  """
  path = pathlib.Path(folder).absolute()
  existing = next(p for p in (path, *path.parents) if os.path.lexists(p))
  try:
    with tempfile.TemporaryFile(dir=existing) as probe:
      probe.write(b'.')
  except OSError as error:
    raise UserError(
      f'Cannot write to {folder}: {error.strerror}. Choose another {flag}.'
    ) from error


def check_data_dir(
  job: ModelOptions, recorded: Mapping[str, Any] | None, source: str
) -> None:
  """Raises UserError if a recorded job names a folder that is not here."""
  folder = recorded['options'].get('dataset_dir') if recorded else None
  if folder and job.dataset_dir == folder and not os.path.isdir(folder):
    raise UserError(
      f'{source} names --dataset_dir={folder}, which is not on this machine '
      f'(any more): set --dataset_dir to the folder of {job.dataset_name} here.'
    )


def read_data(job: JobT, split: str | None) -> tuple[JobT, Dataset]:
  """Finds the record files of a split; returns the job and the data set.

  Args:
    job: names the data set and its folder.
    split: the split, which the returned job names.

  Raises:
    UserError: if files are missing or damaged.
  """
  _require(
    job,
    'dataset_dir',
    'the folder that download_and_convert_data.py wrote records to',
  )
  # Absolute, as job.json is also read from other working directories.
  folder = os.path.abspath(job.dataset_dir or '')
  changes: dict[str, Any] = {'dataset_dir': folder, 'dataset_split_name': split}
  job = dataclasses.replace(job, **changes)
  dataset = dataset_factory.get_dataset(
    job.dataset_name, split, folder, job.file_pattern
  )
  if not job.skip_bad_records:
    check_ends(dataset)
  return job, dataset


def _setup(job: JobT, dataset: Dataset, size_option: str) -> Setup[JobT]:
  """Sets the preprocessing and the image size, and checks them."""
  network = nets_factory.NETWORKS[job.model_name]
  size = getattr(job, size_option) or network.image_size
  check_size(size_option, size, network)
  num_classes = dataset.num_classes - job.labels_offset
  if num_classes < 2:
    raise UserError(
      f'--labels_offset={job.labels_offset} leaves {num_classes} of the '
      f'{dataset.num_classes} classes of {dataset.name}: use 0 or 1.'
    )
  channels = 1 if job.use_grayscale else network.channels or dataset.channels
  changes: dict[str, Any] = {
    **check_attention(job),
    'preprocessing_name': job.preprocessing,
    size_option: size,
  }
  job = dataclasses.replace(job, **changes)
  return Setup(job, dataset, num_classes, channels, size)


def check_size(option: str, size: int, network: NetworkSpec) -> None:
  """Raises UserError if images are too small for a network.

  Args:
    option: the flag that sets the size, for the message.
    size: height and width of the images, pixels.
    network: the network.
  """
  if size < network.min_image_size:
    raise UserError(
      f'--{option}={size} is too small for {network.name}: the minimum is '
      f'{network.min_image_size}, the default {network.image_size}.'
    )


def check_attention(job: NetworkOptions) -> dict[str, str | None]:
  """Returns a job's attention options in their canonical spelling.

  Raises:
    UserError: for a placement without attention.
  """
  attention = precedence.canonical_attention(vars(job))
  if job.attention_placement and not attention['attention_module']:
    raise UserError(
      f'--attention_placement={job.attention_placement} without attention: '
      'set --attention_module, or omit the placement.'
    )
  return attention


def _fine_tuning(
  job: TrainJob, explicit: Collection[str], checkpoint: str
) -> TrainJob:
  """Inherits options that flags do not set from the checkpoint's job."""
  folder = pathlib.Path(checkpoint).parent
  recorded = job_file.read(folder)
  if not recorded:
    return job
  job = precedence.inherit(
    job,
    explicit,
    recorded,
    precedence.INHERITED_BY_FINE_TUNING,
    f'{folder}/job.json',
  )
  is_plain = (
    precedence.canonical_attention(recorded['options'])['attention_module']
    is None
  )
  precedence.refuse_other_model(job, recorded, folder, attention=not is_plain)
  return job


def _check_classes(
  setup: Setup, recorded: Mapping[str, Any], folder: str | pathlib.Path
) -> None:
  """Raises UserError if the data has other classes than in training."""
  if setup.num_classes != recorded['num_classes']:
    raise UserError(
      f'{folder} was trained on {recorded["num_classes"]} classes, '
      f'{setup.dataset.name} has {setup.num_classes} after '
      f'--labels_offset={setup.job.labels_offset}: set the data set and offset '
      'of training.'
    )


def _tell_other_records(
  dataset: Dataset, recorded: Mapping[str, Any], source: str
) -> None:
  """Warns if a resumed run goes on with more or fewer records."""
  before = recorded.get('num_records', dataset.num_records)
  if before != dataset.num_records:
    console.say(
      f'Warning: {dataset.name}/{dataset.split} has {dataset.num_records} '
      f'records; {before} when training started, says {source}.'
    )
