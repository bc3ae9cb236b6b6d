"""From the flags given to a job with nothing left open: which value wins.

A flag that is given wins over the job.json beside a checkpoint, which wins
over the flag's default. What would make other variables is refused. All of it
is checked here, before any graph is built or record read.
"""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Collection, Mapping
from typing import Any

from datasets import dataset_factory
from datasets.bad_records import check_ends
from datasets.dataset import Dataset
from datasets.dataset_factory import DATASETS
from deployment import clones, parameter_servers, servers, workers
from deployment import cluster as clusters
from deployment.cluster import Cluster
from engine import checkpoints, console
from engine import job as jobs
from engine.job import (
  CloneOptions,
  EvalJob,
  Job,
  ModelOptions,
  NetworkOptions,
  TrainJob,
  VisualizeJob,
)
from errors import UserError
from nets import nets_factory
from nets.attention import attention_factory
from nets.network import Network
from preprocessing.augmentation import get_augmentations
from preprocessing.preprocessing_factory import PREPROCESSINGS
from registry import unknown

_OF_ATTENTION = ('attention_module', 'attention_placement')
# What fine-tuning takes over from the job of the checkpoint it starts from.
_OF_THE_NETWORK = (
  'model_name',
  *_OF_ATTENTION,
  'preprocessing_name',
  'use_grayscale',
  'train_image_size',
)
# What evaluation takes over from the job that trained.
_OF_THE_MODEL = (
  *_OF_THE_NETWORK,
  'dataset_name',
  'dataset_dir',
  'labels_offset',
  'moving_average_decay',
)
# What evaluation calls an option of training.
_EVALUATIONS_NAME = {'train_image_size': 'eval_image_size'}
# Where a process is, and where others are.
_OF_THE_PLACE = (
  'train_dir',
  'master',
  'worker_hosts',
  'ps_hosts',
  'job_name',
  'task',
  'worker_replicas',
  'num_ps_tasks',
)
# What a resumed run must be told anew each time.
_OF_THE_MOMENT = (*_OF_THE_PLACE, 'sync_replicas', 'replicas_to_aggregate')
# What each of the processes that train together may have otherwise: its place,
# where it finds the data, and what its machine can do.
_OF_THE_PROCESS = (
  *_OF_THE_PLACE,
  'dataset_dir',
  'clone_on_cpu',
  'num_readers',
  'num_preprocessing_threads',
  'cache',
)


@dataclasses.dataclass(frozen=True)
class Setup:
  """A resolved job and what its options do not say.

  Attributes:
    job: with network, recipe, image size and split all named.
    dataset: the records it reads.
    num_classes: classes of the network, after labels_offset.
    channels: of the images that the network takes.
    image_size: their side in pixels.
    cluster: the processes that train together; None for one.
  """

  job: Any
  dataset: Dataset
  num_classes: int
  channels: int
  image_size: int
  cluster: Cluster | None = None

  @property
  def is_chief(self) -> bool:
    """Whether this process writes checkpoints, events and results."""
    return self.cluster is None or self.cluster.is_chief

  @property
  def shard(self) -> tuple[int, int]:
    """How many processes share the records, and which part is this one's."""
    if self.cluster is None:
      return 1, 0
    return len(self.cluster.workers), self.cluster.task


def training(job: TrainJob, given: Collection[str]) -> tuple[Setup, str | None]:
  """What to train, and the checkpoint to resume from, if there is one."""
  _require(job, 'train_dir', 'where checkpoints and events shall be written')
  cluster = find_cluster(job)
  if cluster is None:
    servers.check_master(job.master)
  _check_devices(job)
  check_names(job, given)
  get_augmentations(job.augment)
  start = _newest(job.train_dir)
  recorded = jobs.read(job.train_dir) if start else None
  if recorded:
    names = {*recorded['options']} - {*_OF_THE_MOMENT}
    job = _inherit(job, given, recorded, names, 'train_dir/job.json')
    _refuse_other_structure(job, recorded)
  elif not start and job.checkpoint_path:
    job = _fine_tuning(job, given)
  job, dataset = read_data(job, job.dataset_split_name)
  setup = _setup(job, dataset, 'train_image_size')
  if recorded:
    _same_classes(setup, recorded, job.train_dir)
  setup = dataclasses.replace(setup, cluster=cluster)
  if setup.is_chief:
    writable(job.train_dir)
  return setup, start


def evaluation(job: EvalJob, given: Collection[str]) -> Setup:
  """What to evaluate, going by the job beside the checkpoint where it can."""
  _check_devices(job)
  job, recorded, folder = _of_checkpoint(job, given)
  if job.eval_dir is None:
    job = dataclasses.replace(job, eval_dir=str(folder / 'eval'))
  return _on_records(job, recorded, folder)


def looking(job: VisualizeJob, given: Collection[str]) -> Setup:
  """What to look at: the evaluation's records, or images without any.

  Without records, the dataset of the setup has names of classes alone.
  """
  job, recorded, folder = _of_checkpoint(job, given)
  if job.images is None:
    setup = _on_records(job, recorded, folder)
  else:
    setup = _setup(job, _without_records(job, recorded), 'eval_image_size')
  wanted = job.num_classes or setup.num_classes
  if wanted != setup.num_classes:
    raise UserError(
      f'--num_classes={wanted} contradicts {setup.num_classes} classes of '
      f'{folder / "job.json" if recorded else setup.dataset.name}: leave it '
      'out.'
    )
  return setup


def _of_checkpoint(
  job: Any, given: Collection[str]
) -> tuple[Any, Mapping[str, Any] | None, pathlib.Path]:
  """The job completed by the one beside its checkpoint; that; its folder."""
  servers.check_master(job.master)
  check_names(job, given)
  path = pathlib.Path(job.checkpoint_path)
  folder = path if path.is_dir() else path.parent
  recorded = jobs.read(folder)
  if recorded:
    names = _OF_THE_MODEL
    if 'dataset_name' in given and (
      job.dataset_name != recorded['options']['dataset_name']
    ):
      names = [name for name in names if name != 'dataset_dir']
    job = _inherit(job, given, recorded, names, f'{folder}/job.json')
    _refuse_other_model(job, recorded, folder)
  return job, recorded, folder


def _on_records(
  job: Any, recorded: Mapping[str, Any] | None, folder: pathlib.Path
) -> Setup:
  """The setup of a trained network on the records of a split."""
  split = job.dataset_split_name
  if split is None and job.dataset_dir:
    split = dataset_factory.evaluation_split(job.dataset_name, job.dataset_dir)
  job, dataset = read_data(job, split)
  setup = _setup(job, dataset, 'eval_image_size')
  if recorded:
    _same_classes(setup, recorded, folder)
  return setup


def _without_records(
  job: VisualizeJob, recorded: Mapping[str, Any] | None
) -> Dataset:
  """The data set as far as it is known without its records."""
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
      f'Nothing says how many classes the network has: give --num_classes, or '
      f'one of these as --dataset_name: {", ".join(DATASETS)}.'
    )
  folder = (
    pathlib.Path(job.dataset_dir).expanduser() if job.dataset_dir else None
  )
  channels = DATASETS[name].channels if known else 3
  return Dataset(
    name=name,
    split='',
    files=(),
    num_records=0,
    num_classes=num_classes,
    channels=recorded.get('channels', channels) if recorded else channels,
    class_names=dataset_factory.class_names(name, folder, num_classes),
  )


def _absolute(path: str) -> str:
  return os.path.abspath(os.path.expanduser(path))


def check_names(job: ModelOptions, given: Collection[str]) -> None:
  """Raises UserError for what no job.json can put right, among what is given."""
  attention_factory.get_attention(job.attention_module, job.attention_placement)
  if 'model_name' in given:
    _recipe(job, nets_factory.NETWORKS[job.model_name])


def _newest(train_dir: str) -> str | None:
  """The checkpoint to resume from; UserError if there are only damaged ones."""
  newest = checkpoints.newest_whole(train_dir)
  found = checkpoints.in_folder(train_dir)
  if newest is None and found:
    raise UserError(
      f'None of the checkpoints in {train_dir} can be read (see above): put a '
      'whole one there, or start anew in another --train_dir.'
    )
  best = pathlib.Path(train_dir, 'best')
  if newest is None and checkpoints.in_folder(best):
    raise UserError(
      f'{best} holds the best checkpoint of an earlier run, whose others are '
      'gone: move it away, or start anew in another --train_dir.'
    )
  return newest


def _require(job: Job, name: str, what: str) -> None:
  if not getattr(job, name):
    raise UserError(f'--{name} is required: {what}.')


def _check_devices(job: CloneOptions) -> None:
  """Raises UserError unless there is a device for every clone."""
  if job.num_clones > 1 and not job.clone_on_cpu:
    clones.check_gpus(job.num_clones)


def find_cluster(job: TrainJob) -> Cluster | None:
  """The processes that train together; None for one.

  Raises:
    UserError: for what is missing, malformed or contradictory.
  """
  cluster = clusters.find(job, os.environ)
  workers.check(job, cluster)
  parameter_servers.check(job, cluster)
  return cluster


def writable(folder: str) -> None:
  """Raises UserError unless files can be made in a folder; makes it."""
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
      probe.write(b'.')
  except OSError as error:
    raise UserError(
      f'Cannot write to {folder}: {error.strerror}. Name a folder of your own.'
    ) from error


def read_data(job: Any, split: str | None) -> tuple[Any, Dataset]:
  """The split's files, checked; the job with the split named."""
  _require(
    job,
    'dataset_dir',
    'the folder that download_and_convert_data.py wrote records into',
  )
  # Absolute, for job.json outlives the folder this was called from.
  job = dataclasses.replace(
    job,
    dataset_dir=_absolute(job.dataset_dir),
    dataset_split_name=split,
  )
  dataset = dataset_factory.get_dataset(
    job.dataset_name, split, job.dataset_dir
  )
  if not job.skip_bad_records:
    check_ends(dataset)
  return job, dataset


def _setup(job: Any, dataset: Dataset, size_option: str) -> Setup:
  """Names the recipe and the image size, and checks them for the network."""
  network = nets_factory.NETWORKS[job.model_name]
  size = getattr(job, size_option) or network.image_size
  check_size(size_option, size, network)
  num_classes = dataset.num_classes - job.labels_offset
  if num_classes < 2:
    raise UserError(
      f'--labels_offset={job.labels_offset} leaves {num_classes} of the '
      f'{dataset.num_classes} classes of {dataset.name}: 0 or 1 is usual.'
    )
  attention = attention_of(job)
  channels = 1 if job.use_grayscale else network.channels or dataset.channels
  job = dataclasses.replace(
    job,
    **attention,
    preprocessing_name=_recipe(job, network),
    **{size_option: size},
  )
  return Setup(job, dataset, num_classes, channels, size)


def check_size(option: str, size: int, network: Network) -> None:
  """Raises UserError where images are too small for a network."""
  if size < network.min_image_size:
    raise UserError(
      f'--{option}={size} is too small for {network.name}, which needs '
      f'{network.min_image_size} or more (its own size is '
      f'{network.image_size}).'
    )


def attention_of(job: NetworkOptions) -> dict[str, str | None]:
  """A job's attention, spelled in one way; a placement alone is refused."""
  attention = _attention(vars(job))
  if job.attention_placement and not attention['attention_module']:
    raise UserError(
      f'--attention_placement={job.attention_placement} without attention: '
      'name it by --attention_module, or leave the placement out.'
    )
  return attention


def _attention(options: Mapping[str, Any]) -> dict[str, str | None]:
  """One spelling for each attention: defaults are left out, none is None."""
  module = attention_factory.get_attention(
    *(options.get(name) for name in _OF_ATTENTION)
  )
  spelling = module.spelling if module else (None, None)
  return dict(zip(_OF_ATTENTION, spelling, strict=True))


def _recipe(job: ModelOptions, network: Network) -> str:
  """The name of the preprocessing: the one asked for, or the network's."""
  name = job.preprocessing_name or network.preprocessing
  if name in PREPROCESSINGS:
    return name
  # TF-Slim's table of recipes also knew them by the networks' names.
  if name not in nets_factory.NETWORKS:
    raise UserError(unknown('preprocessing', name, PREPROCESSINGS))
  return nets_factory.NETWORKS[name].preprocessing


def _inherit(
  job: Any,
  given: Collection[str],
  recorded: Mapping[str, Any],
  names: Collection[str],
  source: str,
) -> Any:
  """Takes options that were not given from a recorded job; prints the rest."""
  mine = vars(job)
  theirs = {
    name if name in mine else _EVALUATIONS_NAME.get(name): value
    for name, value in recorded['options'].items()
    if name in names
  }
  taken = {}
  for field in sorted(dataclasses.fields(job), key=lambda field: field.name):
    name = field.name
    if name not in theirs:
      continue
    if name not in given:
      taken[name] = theirs[name]
    elif not field.metadata['structure'] and not _same(name, mine, theirs):
      console.say(
        f'--{name}={mine[name]} instead of {theirs[name]} of {source}.'
      )
  changed = {n: v for n, v in taken.items() if v != getattr(job, n)}
  if changed:
    console.say(
      f'From {source}: '
      + ' '.join(f'--{n}={v}' for n, v in sorted(changed.items()))
    )
  return dataclasses.replace(job, **taken)


def _same(
  name: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> bool:
  """Whether an option means the same in two jobs.

  'cbam_block(ratio=8)' is the default, and so is a placement of its own.
  """
  if name in _OF_ATTENTION:
    return _attention(mine)[name] == _attention(theirs)[name]
  one, other = mine.get(name), theirs.get(name)
  if name == 'dataset_dir':
    return _absolute(one) == _absolute(other)
  return one == other


def _refuse_other_structure(job: TrainJob, recorded: Mapping[str, Any]) -> None:
  """Resuming may change nothing that alters variables."""
  for field in dataclasses.fields(job):
    theirs = recorded['options'].get(field.name)
    mine = getattr(job, field.name)
    if field.name == 'moving_average_decay':
      # Another decay is no other variable; having averages or not is.
      differ = bool(mine) != bool(theirs)
    else:
      differ = field.metadata['structure'] and not _same(
        field.name, vars(job), recorded['options']
      )
    if differ:
      raise UserError(
        f'{job.train_dir} was trained with --{field.name}={theirs}, not '
        f'{mine}: go on with that, or start in another --train_dir (there, '
        '--checkpoint_path fine-tunes from this one).'
      )


def _fine_tuning(job: TrainJob, given: Collection[str]) -> TrainJob:
  """Takes over what made the checkpoint, as far as flags do not say."""
  checkpoint = checkpoints.find(job.checkpoint_path)
  folder = pathlib.Path(checkpoint).parent
  recorded = jobs.read(folder)
  if not recorded:
    return job
  job = _inherit(job, given, recorded, _OF_THE_NETWORK, f'{folder}/job.json')
  plain = _attention(recorded['options'])['attention_module'] is None
  _refuse_other_model(job, recorded, folder, attention=not plain)
  return job


def _refuse_other_model(
  job: Any,
  recorded: Mapping[str, Any],
  folder: str | pathlib.Path,
  attention: bool = True,
) -> None:
  """Refuses a network or attention other than the checkpoint's own."""
  mine, theirs = vars(job), recorded['options']
  for name in ('model_name', *_OF_ATTENTION) if attention else ('model_name',):
    if not _same(name, mine, theirs):
      raise UserError(
        f'--{name}={mine[name]} contradicts the checkpoints in {folder}, '
        f'trained with --{name}={theirs.get(name)}: give that, or leave the '
        'flag out.'
      )


def refuse_unlike_chief(job: TrainJob) -> None:
  """Refuses a worker's job that is another than the chief's, in job.json."""
  recorded = jobs.read(job.train_dir)
  theirs = recorded['options'] if recorded else {}
  for name, mine in vars(job).items():
    if name not in _OF_THE_PROCESS and theirs.get(name, mine) != mine:
      raise UserError(
        f'--{name}={mine}, but worker 0 has {theirs[name]}: start all processes '
        'with the same options.'
      )


def _same_classes(
  setup: Setup, recorded: Mapping[str, Any], folder: str | pathlib.Path
) -> None:
  """Refuses data with another number of classes than was trained on."""
  if setup.num_classes != recorded['num_classes']:
    raise UserError(
      f'{folder} was trained on {recorded["num_classes"]} classes, '
      f'{setup.dataset.name} has {setup.num_classes} after '
      f'--labels_offset={setup.job.labels_offset}: name the data set and '
      'offset it was trained with.'
    )
