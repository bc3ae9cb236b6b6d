"""TensorBoard event files: writing scalars and closing the writer."""

from __future__ import annotations

from engine import console
from tf_compat import tf


def scalars(**values: float) -> tf.Summary:
  """Returns a summary of numbers that are known outside the graph."""
  return tf.Summary(
    value=[
      tf.Summary.Value(tag=tag, simple_value=value)
      for tag, value in values.items()
    ]
  )


def close(writer: tf.summary.FileWriter) -> None:
  """Closes an event file; reports a failure, without hiding another error."""
  try:
    writer.close()
  # TensorFlow raises any exception of its writing thread.
  except Exception as error:
    console.say(f'The last events could not be written: {error}')
