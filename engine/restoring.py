"""Which variable is restored from which name: resuming, fine-tuning, evaluating.

Each function compares the checkpoint with the default graph before anything
runs, and refuses in both directions.
"""

import pathlib
from collections.abc import Callable, Mapping

import files
from engine import checkpoints, console
from engine.checkpoints import AVERAGE
from engine.job import CheckpointOptions, TrainJob
from errors import UserError
from nets import nets_factory
from nets.attention import attend, attention_factory
from tf_compat import slim, tf

# In train_dir, the variables that fine-tuning did not find in its checkpoint.
FRESH = 'initialised.txt'


def _spelling(model_name: str, checkpoint: str) -> dict[str, str]:
  """Today's name -> name in the file, of all that a checkpoint holds."""
  network = nets_factory.NETWORKS[model_name]
  return {network.own_name(n): n for n in checkpoints.shapes(checkpoint)}


def _held(checkpoint: str, spelling: Mapping[str, str]) -> checkpoints.Shapes:
  """Shapes of the network's own variables in a checkpoint, by today's name."""
  shapes = checkpoints.shapes(checkpoint)
  return checkpoints.weights({n: shapes[f] for n, f in spelling.items()})


def resuming(job: TrainJob, checkpoint: str) -> Callable:
  """Restores everything a training graph holds, optimizer and averages too.

  Raises:
    UserError: if the checkpoint is of another network or optimizer.
  """
  spelling = _spelling(job.model_name, checkpoint)
  _refuse_other_network(checkpoint, _held(checkpoint, spelling))
  mapping, averaged, lacking = {}, 0, []
  for variable in tf.global_variables():
    name = variable.op.name
    raw = name.removesuffix(AVERAGE)
    if name in spelling:
      mapping[variable] = spelling[name]
    elif raw in spelling:
      mapping[variable] = spelling[raw]
      averaged += 1
    elif checkpoints.is_slot(name):
      lacking.append(name)
  if lacking:
    raise UserError(
      f"{checkpoint} lacks the optimizer's {checkpoints.few(lacking)}: go on "
      'with the --optimizer and --trainable_scopes it was trained with, or '
      'start in another --train_dir and fine-tune by --checkpoint_path.'
    )
  if averaged:
    console.say(
      f'{averaged} moving averages start from the raw weights: '
      f'{checkpoint} has none of them.'
    )
  return checkpoints.restorer(mapping)


def _refuse_other_network(checkpoint: str, held: checkpoints.Shapes) -> None:
  """Raises UserError unless the weights are exactly this network's."""
  wanted = checkpoints.variable_shapes(slim.get_model_variables())
  difference = checkpoints.compare(held, wanted)
  if difference.lacking or difference.unused or difference.reshaped:
    raise UserError(checkpoints.refusal(checkpoint, difference, held, wanted))


def fine_tuning(
  job: TrainJob, checkpoint: str, is_chief: bool = True
) -> Callable:
  """Restores a network's weights but for --checkpoint_exclude_scopes.

  Attention that the checkpoint lacks is initialised and listed: to add it to
  a plain network is what fine-tuning is for. Anything else that is missing is
  refused unless --ignore_missing_vars. Moving averages start from the weights.
  """
  excluded, kept = checkpoints.split_by_scopes(
    slim.get_model_variables(),
    job.checkpoint_exclude_scopes,
    'checkpoint_exclude_scopes',
  )
  spelling = _spelling(job.model_name, checkpoint)
  held = dict(_held(checkpoint, spelling))
  for variable in excluded:
    held.pop(variable.op.name, None)
  wanted = checkpoints.variable_shapes(kept)
  fresh = _initialised(job, checkpoint, held, wanted)
  console.say(
    f'Fine-tuning {len(kept) - len(fresh)} variables of {checkpoint}.'
  )
  if fresh:
    path = pathlib.Path(job.train_dir, FRESH)
    if is_chief:
      files.write_text(path, '\n'.join(fresh) + '\n')
    console.say(
      f'Not in it, so initialised: {checkpoints.few(fresh, 4)} ({path} lists '
      'them).'
    )
  restored = {v.op.name for v in kept} - set(fresh)
  mapping = {}
  for variable in tf.global_variables():
    raw = variable.op.name.removesuffix(AVERAGE)
    if raw in restored:
      mapping[variable] = spelling[raw]
  return checkpoints.restorer(mapping)


def _initialised(
  job: TrainJob,
  checkpoint: str,
  held: checkpoints.Shapes,
  wanted: checkpoints.Shapes,
) -> list[str]:
  """Names that the checkpoint may lack; UserError for those it may not.

  What else the checkpoint holds does no harm, but for attention: without it
  the other weights are of no use.
  """
  difference = checkpoints.compare(held, wanted)
  attention = {v.op.name for v in tf.get_collection(attend.VARIABLES)}
  welcome = wanted if job.ignore_missing_vars else attention
  refused = [name for name in difference.lacking if name not in welcome]
  unused = {name: held[name] for name in difference.unused}
  gone = unused if attention_factory.recognize(unused) else {}
  if refused or gone or difference.reshaped:
    strict = checkpoints.Difference(refused, list(gone), difference.reshaped)
    raise UserError(
      checkpoints.refusal(checkpoint, strict, held, wanted)
      + ' --ignore_missing_vars initialises what is missing.' * bool(refused)
    )
  return difference.lacking


def evaluating(
  job: CheckpointOptions, checkpoint: str
) -> dict[tf.Variable, str]:
  """What each variable of a network for inference is restored from.

  Its moving average where the job asks for averages and there is one.

  Raises:
    UserError: if the weights are not exactly this network's.
  """
  spelling = _spelling(job.model_name, checkpoint)
  scopes = nets_factory.NETWORKS[job.model_name].training_only
  held = {
    name: shape
    for name, shape in _held(checkpoint, spelling).items()
    if not any(checkpoints.in_scope(name, scope) for scope in scopes)
  }
  _refuse_other_network(checkpoint, held)
  variables = slim.get_model_variables()
  names = {v: spelling[v.op.name] for v in variables}
  if not job.moving_average_decay:
    return names
  averaged = {
    v: spelling[v.op.name + AVERAGE]
    for v in variables
    if v.op.name + AVERAGE in spelling
  }
  raw = [v.op.name for v in variables if v not in averaged]
  if raw:
    console.say(
      f'No moving average in {checkpoint} of {checkpoints.few(raw)}: '
      'evaluated with the raw values.'
    )
  return names | averaged
