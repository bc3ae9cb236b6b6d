"""Which variable is restored from which name: resuming, fine-tuning, evaluating.

Each function compares the checkpoint with the default graph before anything
runs, and refuses in both directions.
"""

from collections.abc import Callable

from engine import checkpoints, console
from engine.checkpoints import AVERAGE
from engine.job import EvalJob, TrainJob
from errors import UserError
from nets.attention import attend, attention_factory
from tf_compat import slim, tf


def resuming(checkpoint: str) -> Callable:
  """Restores everything a training graph holds, optimizer and averages too.

  Raises:
    UserError: if the checkpoint is of another network or optimizer.
  """
  held = checkpoints.shapes(checkpoint)
  _refuse_other_network(checkpoint, held)
  mapping, lacking = {}, []
  for variable in tf.global_variables():
    name = variable.op.name
    raw = name.removesuffix(AVERAGE)
    if name in held:
      mapping[variable] = name
    elif raw in held:
      mapping[variable] = raw
    elif checkpoints.is_slot(name):
      lacking.append(name)
  if lacking:
    raise UserError(
      f"{checkpoint} lacks the optimizer's {checkpoints.few(lacking)}: go on "
      'with the --optimizer and --trainable_scopes it was trained with, or '
      'start in another --train_dir and fine-tune by --checkpoint_path.'
    )
  averaged = [v for v, name in mapping.items() if v.op.name != name]
  if averaged:
    console.say(
      f'{len(averaged)} moving averages start from the raw weights: '
      f'{checkpoint} has none of them.'
    )
  return checkpoints.restorer(mapping)


def _refuse_other_network(checkpoint: str, held: checkpoints.Shapes) -> None:
  """Raises UserError unless the weights are exactly this network's."""
  held = checkpoints.weights(held)
  wanted = checkpoints.variable_shapes(slim.get_model_variables())
  difference = checkpoints.compare(held, wanted)
  if difference.lacking or difference.unused or difference.reshaped:
    raise UserError(checkpoints.refusal(checkpoint, difference, held, wanted))


def fine_tuning(job: TrainJob, checkpoint: str) -> Callable:
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
  held = checkpoints.weights(checkpoints.shapes(checkpoint))
  for variable in excluded:
    held.pop(variable.op.name, None)
  wanted = checkpoints.variable_shapes(kept)
  fresh = _initialised(job, checkpoint, held, wanted)
  console.say(
    f'Fine-tuning {len(kept) - len(fresh)} variables of {checkpoint}.'
  )
  if fresh:
    console.say(f'Not in it, so initialised: {", ".join(fresh)}.')
  mapping = {v: v.op.name for v in kept if v.op.name not in set(fresh)}
  restored = set(mapping.values())
  for variable in tf.global_variables():
    raw = variable.op.name.removesuffix(AVERAGE)
    if raw != variable.op.name and raw in restored:
      mapping[variable] = raw
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


def evaluating(job: EvalJob, checkpoint: str) -> dict[tf.Variable, str]:
  """What each variable of a network for inference is restored from.

  Its moving average where the job asks for averages and there is one.

  Raises:
    UserError: if the weights are not exactly this network's.
  """
  held = checkpoints.shapes(checkpoint)
  _refuse_other_network(checkpoint, held)
  names = {v: v.op.name for v in slim.get_model_variables()}
  if not job.moving_average_decay:
    return names
  averaged = {v: n + AVERAGE for v, n in names.items() if n + AVERAGE in held}
  raw = [name for v, name in names.items() if v not in averaged]
  if raw:
    console.say(
      f'No moving average in {checkpoint} of {checkpoints.few(raw)}: '
      'evaluated with the raw values.'
    )
  return names | averaged
