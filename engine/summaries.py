"""What TensorBoard shows of training; computed at summary steps only."""

from deployment import clones
from engine import console
from nets.attention import attend
from tf_compat import slim, tf


def training(end_points: dict[str, tf.Tensor]) -> tf.Tensor:
  """One merged summary: losses, gates, activations, weights.

  With several clones it is the first one's.

  Args:
    end_points: the network's, each shown with how much of it is zero.
  """
  # Placed on the CPU: histograms have no GPU kernel, and asking for one there
  # would copy twice.
  with tf.device('/cpu:0'):
    for loss in clones.of_first(tf.GraphKeys.LOSSES):
      tf.summary.scalar(f'losses/{loss.op.name}', loss)
    for gate in clones.of_first(attend.GATES):
      mean, variance = tf.nn.moments(gate, list(range(gate.shape.ndims)))
      # A dead gate stays at one value: its spread is 0.
      tf.summary.scalar(f'gates/{gate.op.name}/mean', mean)
      tf.summary.scalar(f'gates/{gate.op.name}/spread', tf.sqrt(variance))
    for name, tensor in end_points.items():
      tf.summary.histogram(f'activations/{name}', _finite(tensor))
      tf.summary.scalar(f'sparsity/{name}', tf.nn.zero_fraction(tensor))
    for variable in slim.get_model_variables():
      tf.summary.histogram(f'weights/{variable.op.name}', _finite(variable))
  return tf.summary.merge_all()


def _finite(tensor: tf.Tensor) -> tf.Tensor:
  """The tensor with 0 for what is not finite.

  TensorFlow's histogram fails on NaN, with an error that hides the loss's.
  """
  return tf.where(tf.is_finite(tensor), tensor, tf.zeros_like(tensor))


def scalars(**values: float) -> tf.Summary:
  """A summary of plain numbers, for what is known outside the graph."""
  return tf.Summary(
    value=[
      tf.Summary.Value(tag=tag, simple_value=value)
      for tag, value in values.items()
    ]
  )


def close(writer: tf.summary.FileWriter) -> None:
  """Ends an event file; what it cannot take is told, and hides no error."""
  try:
    writer.close()
  # TensorFlow raises what its writing thread met, of whatever class.
  except Exception as error:
    console.say(f'The last events could not be written: {error}')
