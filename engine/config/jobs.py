"""Jobs: the options of each program, as frozen dataclasses.

engine/config/flags.py makes the command-line flags from the fields, the
documentation lists them, and job.json records them. Nothing here imports
TensorFlow, so that --help and wrong flags are answered at once.
"""

import dataclasses
import os
import tempfile

from datasets.dataset_factory import DATASETS
from deployment.options import CloneOptions, DeploymentOptions, SessionOptions
from engine.config.recipes import RECIPES
from engine.optimization.class_weights import ClassBalanceOptions
from engine.optimization.losses import LossOptions
from engine.optimization.optimizers import OptimizerOptions
from engine.optimization.schedules import ScheduleOptions
from nets import nets_factory
from nets.attention import attention_factory
from nets.attention.attention_factory import ATTENTION_MODULES, PLACEMENTS
from nets.layers import PADDINGS
from options import Options, option
from preprocessing.augmentation import AUGMENTATIONS, get_augmentations
from preprocessing.preprocessing_factory import PREPROCESSINGS, get_spec

# Metrics that can choose the best checkpoint, and those that are better if lower.
BEST_METRICS = (
  'Accuracy',
  'Recall_5',
  'loss',
  'macro_precision',
  'macro_recall',
  'macro_f1',
  'balanced_accuracy',
  'expected_calibration_error',
  'macro_auroc',
)
LOWER_IS_BETTER = ('loss', 'expected_calibration_error')

# A meaning that two programs share.
FILE_PATTERN = (
  'Names of the record files, with %s for the split and * for any text, such as '
  "'%s-*.tfrecords'; those of the converters, or as used last, if not set."
)

# The values of --preprocessing_name in two programs.
PREPROCESSING_NAMES = (
  f"{', '.join(PREPROCESSINGS)}; with options, 'imagenet(crop_fraction=0.95)'"
)

# The values of --plot_format.
PNG = 'png'
PLOT_FORMATS = (PNG, 'svg', 'pdf')

# The values of --formats.
EXPORT_FORMATS = ('saved_model', 'tflite', 'onnx')

# More would need a name for each in memory, and are a mistake.
MOST_CLASSES = 10_000_000

# TF-Slim's /tmp/tfmodel/, but not one for all users of the machine.
TEMP_MODEL = os.path.join(tempfile.gettempdir(), f'tfmodel-{os.getuid()}', '')


def _preprocessing(preprocessing_name: str | None, model_name: str) -> str:
  """Returns the shortest spelling of a preprocessing: the named, or the network's.

  Raises:
    UserError: if there is no such preprocessing, option or network.
  """
  networks = nets_factory.NETWORKS
  name = preprocessing_name or model_name
  # TF-Slim's table of preprocessings also listed the networks' names.
  if name in networks or not preprocessing_name:
    name = networks[name].preprocessing
  return str(get_spec(name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvertJob(Options):
  """Options of download_and_convert_data.py."""

  dataset_name: str | None = option(
    None,
    f"The data set: {', '.join(DATASETS)}; 'tfds:' and the name of a TensorFlow "
    'Datasets set; or any other name, for a folder of photos.',
  )
  dataset_dir: str | None = option(
    None, 'Folder to write the records to.', path=True
  )
  source_dir: str | None = option(
    None,
    'The originals: a folder, a tar or zip archive, or a list of path and label '
    '(CSV or text). If not set, they are downloaded and their checksum is '
    'verified.',
    path=True,
  )
  validation_fraction: float | None = option(
    None,
    'Fraction of each class held out for validation if the photos are not in '
    'splits; 0.1 if not set.',
    lower=0,
    upper=0.9,
  )
  seed: int = option(
    0, 'Seed of the held-out choice and of the order of photos.', lower=0
  )
  split_folders: bool = option(
    True,
    'Take folders named train, validation or test for splits, not for classes.',
  )
  keep_empty_classes: bool = option(
    False,
    'Keep classes without a usable photo, as labels without records, instead of '
    'leaving out empty folders and refusing other such classes.',
  )
  max_megapixels: int = option(
    300,
    'Size of the largest photo to accept. Larger ones cannot be used; those that '
    'TensorFlow cannot decode are halved.',
    lower=1,
    upper=4000,
  )
  max_rejected_fraction: float = option(
    0.05,
    'Stop if a larger fraction of the originals cannot be used.',
    lower=0,
    upper=1,
  )
  num_processes: int | None = option(
    None,
    'Number of processes; one per processor if not set.',
    lower=1,
  )
  resume: bool = option(
    False, 'Resume an interrupted conversion from its complete shards.'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlotOptions(Options):
  """Options of programs that draw plots."""

  plot_format: str = option(
    PNG,
    'Format of the plots: svg or pdf writes each also in that format, beside '
    'the PNG, for papers.',
    known=PLOT_FORMATS,
    group='advanced',
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectJob(PlotOptions):
  """Options of inspect_data.py."""

  dataset_dir: str | None = option(
    None, 'Folder that holds the records.', path=True
  )
  dataset_name: str | None = option(
    None, 'The data set; the one named in dataset.json if not set.'
  )
  file_pattern: str | None = option(None, FILE_PATTERN)
  output: str | None = option(
    None, 'PNG file to draw images into, raw and preprocessed.', path=True
  )
  num_images: int = option(12, 'Images of each split to draw.', lower=1)
  model_name: str = option(
    'inception_v3', 'Network whose input the images are preprocessed for.'
  )
  preprocessing_name: str | None = option(
    None,
    f"The preprocessing ({PREPROCESSING_NAMES}); --model_name's default if not set.",
  )
  image_size: int | None = option(
    None,
    "Side of the input in pixels; the network's default if not set.",
    lower=8,
  )
  num_processes: int | None = option(
    None,
    'Number of processes; one per processor if not set.',
    lower=1,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    self.preprocessing  # noqa: B018  Refuses an unknown preprocessing.

  @property
  def preprocessing(self) -> str:
    """The preprocessing with its options, as _preprocessing returns it."""
    return _preprocessing(self.preprocessing_name, self.model_name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportJob(Options):
  """Options of import_weights.py."""

  weights: str | None = option(
    None,
    "The weights: a file of Keras (.h5, .keras), .safetensors, .pth or TF-Slim's "
    'archive; or a name: keras:MobileNetV2, timm:resnet50.a1_in1k, '
    'slim:inception_v3_2016_08_28.',
    path=True,
  )
  model_name: str | None = option(
    None, 'The network; recognized from the weights if not set.'
  )
  output_dir: str | None = option(
    None,
    'Folder for the checkpoint and job.json, which must not exist or be empty.',
    path=True,
  )
  dataset_name: str | None = option(
    None,
    'Data set whose classes the weights tell apart; if not set, the one in '
    '--dataset_dir, or imagenet for 1000 or 1001 classes.',
  )
  dataset_dir: str | None = option(
    None,
    "Folder of that data set's records, for job.json: evaluation then needs no "
    'flag but --checkpoint_path.',
    path=True,
  )
  image_size: int | None = option(
    None,
    'Side of the images in pixels; if not set, that of the training of the '
    "weights, or the network's default.",
    lower=1,
  )
  preprocessing_name: str | None = option(
    None,
    f'The preprocessing ({PREPROCESSING_NAMES}); if not set, that of the training of the '
    'weights.',
  )
  compare_logits: bool = option(
    True,
    'Compare the logits with those that Keras, timm or torchvision computes, '
    'where it is installed.',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.preprocessing_name:
      _preprocessing(self.preprocessing_name, '')  # Refuses an unknown one.


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkOptions(Options):
  """Options that name a network and its attention."""

  model_name: str = option('inception_v3', 'The network.', structure=True)
  attention_module: str | None = option(
    None,
    f'Attention module: {", ".join(ATTENTION_MODULES)}; with options, '
    "'cbam_block(ratio=16)'.",
    structure=True,
  )
  attention_placement: str | None = option(
    None,
    'Where attention is inserted: at the end of each block, of each stage but '
    'the last, once before the classifier (class, added to the feature map), '
    "or both there and at the module's own default, which applies if not set; "
    'at the end of each later block, after the first stage; or within each '
    "block: inner, after its spatial convolution, or conv, before that one's "
    'norm.',
    known=PLACEMENTS,
    structure=True,
  )
  padding: str = option(
    'same',
    "How strided layers and pooling pad: same is TensorFlow's way, symmetric "
    "that of PyTorch and of Keras' ResNets, zero_pool that of Keras' NASNets, "
    "zero_avg_pool that of timm's NASNet. Imported weights set it.",
    known=PADDINGS,
    structure=True,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.model_name:
      nets_factory.NETWORKS[self.model_name]
    attention_factory.get_attention(
      self.attention_module, self.attention_placement
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListJob(NetworkOptions):
  """Options of list_networks.py."""

  model_name: str | None = option(  # type: ignore[assignment]
    None, 'Network to print layer by layer; lists all networks if not set.'
  )
  num_classes: int | None = option(
    None,
    'Number of classes; if not set 1000, or 10 for networks whose images are '
    'smaller than 64 pixels.',
    lower=1,
    upper=MOST_CLASSES,
  )
  image_size: int | None = option(
    None,
    "Side of the images in pixels; the network's default if not set.",
    lower=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions(NetworkOptions, SessionOptions):
  """Options common to training and evaluation: network, records, input."""

  dataset_name: str = option('imagenet', 'The data set.', group='data')
  dataset_dir: str | None = option(
    None, 'Folder that holds its records.', group='data', path=True
  )
  file_pattern: str | None = option(None, FILE_PATTERN, group='data')
  labels_offset: int = option(
    0,
    'Number subtracted from every label: 1 drops a background class that the '
    'network does not have (VGG, ResNet v1).',
    lower=0,
    structure=True,
    group='data',
  )
  preprocessing_name: str | None = option(
    None,
    f'The preprocessing ({PREPROCESSING_NAMES}), or a network whose default is used; '
    "--model_name's default if not set.",
    group='data',
  )
  use_grayscale: bool = option(
    False,
    'Convert images to grayscale, with one channel.',
    structure=True,
    group='data',
  )
  fast_preprocessing: bool = option(
    False,
    'Preprocess by cheaper formulas: one affine map of the colors in inception '
    'training, which also changes hue and contrast; vgg crops by whole pixels of '
    'the photo.',
    group='data',
  )
  num_preprocessing_threads: int | None = option(
    None,
    'Number of threads that preprocess; tuned by tf.data if not set.',
    lower=1,
    group='data',
  )
  cache: bool = option(
    False,
    'Keep the encoded records in memory after the first epoch; they must fit.',
    group='data',
  )
  skip_bad_records: bool = option(
    False,
    'Skip records that cannot be read, and report how many.',
    group='data',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    self.preprocessing  # noqa: B018  Refuses an unknown preprocessing.

  @property
  def preprocessing(self) -> str:
    """The preprocessing with its options, as _preprocessing returns it."""
    return _preprocessing(self.preprocessing_name, self.model_name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuousEvaluationOptions(Options):
  """Options of continuous evaluation: the best checkpoint, early stopping."""

  best_metric: str = option(
    'Accuracy',
    'Metric that chooses the checkpoint in train_dir/best; a lower loss or '
    'calibration error is better.',
    known=BEST_METRICS,
  )
  early_stop_patience: int | None = option(
    None,
    'Stop training after this many evaluations without improvement; never if '
    'not set.',
    lower=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainJob(
  ModelOptions,
  ContinuousEvaluationOptions,
  LossOptions,
  ClassBalanceOptions,
  OptimizerOptions,
  ScheduleOptions,
  DeploymentOptions,
  PlotOptions,
):
  """Options of train_image_classifier.py."""

  train_dir: str = option(
    TEMP_MODEL,
    'The run folder: receives checkpoints, events, curves and job.json.',
    path=True,
  )
  recipe: str | None = option(
    None,
    'Values of options for a purpose, which flags override: a file in recipes/.',
    known=RECIPES,
    structure=True,
  )
  dataset_split_name: str = option(
    'train', 'The split to train on.', group='data'
  )
  batch_size: int = option(
    32,
    'Images per step and clone; of each batch with --accumulate_steps.',
    lower=1,
  )
  accumulate_steps: int = option(
    1,
    'Batches whose gradients make one step together, as if they were one; batch '
    'norm sees each on its own.',
    lower=1,
    group='optimization',
  )
  train_image_size: int | None = option(
    None,
    "Side of the images in pixels; the network's default if not set.",
    lower=1,
  )
  augment: str | None = option(
    None,
    f'Augmentation beyond the preprocessing: {", ".join(AUGMENTATIONS)}; with '
    "options and joined by +, 'randaugment(layers=2, magnitude=9)+mixup'.",
    group='data',
  )
  num_readers: int | None = option(
    None,
    'Number of record files read at once; tuned by tf.data if not set.',
    lower=1,
    group='data',
  )
  seed: int | None = option(
    None,
    'Seed of weights, shuffling, augmentation and dropout. A run repeats '
    'exactly on the same machine, also if it is stopped and resumed (on GPUs '
    'also set TF_DETERMINISTIC_OPS=1).',
    lower=0,
  )

  stochastic_depth_rate: float = option(
    0.0,
    'Probability that training leaves out the last residual block for an image; '
    'it grows linearly up to there (arXiv:1603.09382).',
    lower=0,
    upper=0.95,
    group='optimization',
  )
  batch_norm_decay: float | None = option(
    None,
    "Decay of batch norm's moving averages; the network's default if not set. "
    'Short runs need a smaller one, such as 0.9.',
    lower=0,
    upper=1,
    group='optimization',
  )
  moving_average_decay: float | None = option(
    None,
    'Decay of the moving averages of all weights, up to which it rises as '
    '(1 + step) / (10 + step); none are kept if not set.',
    lower=0,
    upper=1,
    group='optimization',
  )
  gradient_clip_norm: float | None = option(
    None,
    'Global norm that gradients are clipped to; no clipping if not set.',
    above=0,
    group='optimization',
  )
  stop_on_nan: bool = option(
    True,
    'Stop when the loss is not finite, and keep the last checkpoint.',
    group='optimization',
  )

  checkpoint_path: str | None = option(
    None, 'Checkpoint, or folder of checkpoints, to fine-tune from.', path=True
  )
  checkpoint_exclude_scopes: str | None = option(
    None, 'Scopes not to restore from --checkpoint_path, separated by commas.'
  )
  trainable_scopes: str | None = option(
    None, 'Scopes to train, separated by commas; all if not set.'
  )
  freeze_batch_norm: bool = option(
    True,
    'Outside --trainable_scopes, batch norm uses and keeps its moving averages. '
    "TF-Slim's used the statistics of the batch and moved the averages.",
    group='optimization',
  )
  ignore_missing_vars: bool = option(
    False,
    'Initialize variables that --checkpoint_path lacks, instead of refusing '
    'it.',
    group='advanced',
  )

  teacher_checkpoint: str | None = option(
    None,
    'Checkpoint or run folder of a trained network, whose probabilities are '
    'learned beside the labels (distillation, arXiv:1503.02531).',
    group='optimization',
    path=True,
  )
  distillation_temperature: float = option(
    4.0,
    'Temperature that softens the probabilities of teacher and student.',
    above=0,
    group='optimization',
  )
  distillation_weight: float = option(
    0.5,
    "Weight of the teacher's probabilities in the loss; that of the labels is "
    'what is left of 1.',
    lower=0,
    upper=1,
    group='optimization',
  )

  log_every_n_steps: int = option(10, 'Steps between log lines.', lower=1)
  save_summaries_secs: int = option(
    600, 'Seconds between summaries.', lower=0, group='advanced'
  )
  save_interval_secs: int = option(600, 'Seconds between checkpoints.', lower=0)
  save_every_n_steps: int | None = option(
    None,
    'Steps between checkpoints, beside those of --save_interval_secs.',
    lower=1,
  )
  save_every_n_epochs: float | None = option(
    None, 'The same in epochs; sets --save_every_n_steps.', above=0
  )
  keep_checkpoint_max: int = option(
    5,
    'Number of newest checkpoints to keep; 0 keeps all.',
    lower=0,
    group='advanced',
  )
  eval_every_n_steps: int | None = option(
    None,
    'Steps between checkpoints that training evaluates itself; if not set, '
    'eval_image_classifier_loop.py can evaluate in another process.',
    lower=1,
  )
  eval_every_n_epochs: float | None = option(
    None, 'The same in epochs; sets --eval_every_n_steps.', above=0
  )

  report: bool = option(
    False,
    'When training ends, evaluate the last checkpoint unless that was done, and '
    'write report.html into --train_dir.',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    get_augmentations(self.augment)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointOptions(ModelOptions):
  """Options that name a trained network and the split to run it on."""

  checkpoint_path: str = option(
    TEMP_MODEL,
    'Checkpoint, or folder whose newest checkpoint is used.',
    path=True,
  )
  dataset_split_name: str | None = option(
    None, "The split; the data set's evaluation split if not set.", group='data'
  )
  eval_image_size: int | None = option(
    None,
    "Side of the images in pixels; the network's default if not set.",
    lower=1,
  )
  moving_average_decay: float | None = option(
    None,
    'Use the moving averages of the weights, unless 0; as in training if not '
    'set.',
    lower=0,
    upper=1,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalJob(CheckpointOptions, CloneOptions, PlotOptions):
  """Options of eval_image_classifier.py."""

  eval_dir: str | None = option(
    None,
    "Folder for results; 'eval' beside the checkpoint if not set.",
    path=True,
  )
  batch_size: int = option(100, 'Images per step and clone.', lower=1)
  max_num_batches: int | None = option(
    None, 'Largest number of batches to evaluate; all if not set.', lower=1
  )
  predictions_file: str | None = option(
    None,
    'CSV file for the label and five best classes of each record.',
    path=True,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalLoopJob(EvalJob, ContinuousEvaluationOptions):
  """Options of eval_image_classifier_loop.py."""

  eval_interval_secs: int = option(
    600, 'Seconds between checks for new checkpoints.', lower=0
  )
  eval_timeout_secs: int | None = option(
    None,
    'End after this many seconds without a new checkpoint, or when training has '
    'finished; if not set, only then.',
    lower=0,
  )
  nice: int = option(
    0,
    'Yield processors to other processes by this much, as the command nice does: '
    '19 takes only what training on the same machine leaves.',
    lower=0,
    upper=19,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageOptions(CheckpointOptions):
  """Options that name image files."""

  images: str | None = option(
    None, 'Image files, folders and lists of them, separated by commas.'
  )
  num_classes: int | None = option(
    None,
    'Number of classes, if neither job.json nor the data set says it.',
    lower=2,
    upper=MOST_CLASSES,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictJob(ImageOptions):
  """Options of predict.py."""

  batch_size: int = option(32, 'Images per step.', lower=1)
  top: int = option(5, 'Number of best classes of each image.', lower=1)
  output: str | None = option(
    None,
    'File for the predictions: .csv, .json or .jsonl; a table on stdout if not '
    'set.',
    path=True,
  )
  embeddings: str | None = option(
    None,
    '.npz file for the features of each image, which the classifier takes: '
    '`files` [N] and `features` [N, D].',
    path=True,
  )
  sort_into: str | None = option(
    None,
    'Folder to receive a folder for each predicted class, with links to the '
    'images.',
    path=True,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportJob(CheckpointOptions):
  """Options of export_model.py."""

  output_dir: str | None = option(
    None,
    'Folder for the exported model, which must not exist or be empty.',
    path=True,
  )
  formats: str = option(
    ','.join(EXPORT_FORMATS),
    f'Formats, separated by commas: {", ".join(EXPORT_FORMATS)}.',
  )
  quantize: str | None = option(
    None,
    'Also write a smaller TFLite model: float16 stores weights in half the '
    'bytes, int8 stores and computes in a quarter, and also in ONNX if that '
    'keeps its accuracy.',
    known=('float16', 'int8'),
  )
  calibration_images: int = option(
    200, 'Number of training records that int8 takes its ranges from.', lower=1
  )
  max_accuracy_loss: float = option(
    0.02,
    'Accuracy that a quantized model may lose; if that of TFLite loses more, '
    'nothing is written, and an int8 model of ONNX is left out.',
    lower=0,
    upper=1,
  )
  num_images: int = option(
    500,
    'Largest number of records of the split on which each file is compared with '
    'the checkpoint.',
    lower=1,
  )
  overwrite: bool = option(
    False, 'Replace another exported model in --output_dir.'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisualizeJob(ImageOptions, PlotOptions):
  """Options of visualize_attention.py."""

  images: str | None = option(
    None,
    'Image files, folders and lists of them, separated by commas; records of '
    'the data set if not set.',
  )
  num_images: int = option(8, 'Largest number of images.', lower=1, upper=100)
  class_name: str | None = option(
    None,
    'Name or number of the class to explain; the predicted class if not set.',
  )
  end_point: str | None = option(
    None,
    'Name of the feature map for Grad-CAM; the last one if not set.',
  )
  points: str | None = option(
    None,
    'Attention points to show, separated by commas: first, last, all, none, '
    'numbers from 0, or scopes such as block4; the last of each map size if not '
    'set.',
  )
  output_dir: str | None = option(
    None,
    'Folder for one picture per map and the arrays (.npz) of each image; not '
    'written if not set.',
    path=True,
  )
  output_file: str | None = option(
    None,
    'PNG file for the grid of maps; if not set, attention.png in --output_dir '
    'or beside the checkpoint.',
    path=True,
  )

  @property
  def batch_size(self) -> int:
    """Records are read as one batch."""
    return self.num_images


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportJob(Options):
  """Options of report.py."""

  train_dir: str | None = option(
    None, 'The run folder, or several, separated by commas.', path=True
  )
  output: str | None = option(
    None,
    'HTML file to write; if not set, report.html in the run folder, or '
    'report_of_runs.html in the first of several.',
    path=True,
  )
  dataset_dir: str | None = option(
    None,
    "Folder of the records, for pictures of the mistakes; the run's if not set.",
    path=True,
  )
  num_mistakes: int = option(
    12,
    'Largest number of mistakes of each run to show.',
    lower=0,
    upper=100,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareJob(TrainJob):
  """Options of compare_attention.py."""

  train_dir: str | None = option(  # type: ignore[assignment]
    None,
    'Folder of the comparison: receives the table, and a run folder for each '
    'run.',
    path=True,
  )
  attention_modules: str = option(
    'none;se_block;cbam_block',
    'Variants to compare, separated by semicolons, each with options and '
    "placement if needed: 'none;cbam_block(ratio=16);cbam_block@class'.",
  )
  seeds: str = option(
    '1', 'Seeds, separated by commas; each variant is trained with each.'
  )
  eval_split_name: str | None = option(
    None,
    "The split to evaluate on; the data set's evaluation split if not set.",
  )
  eval_batch_size: int = option(100, 'Images per step of evaluation.', lower=1)
  timing_steps: int = option(
    20,
    'Training steps to time per variant, interleaved after training; the median '
    'is reported. 0 disables it.',
    lower=0,
  )
  equal_time: bool = option(
    False,
    'Also train each variant for as long as the first one takes: in fewer '
    'steps if its step takes longer.',
  )
