"""Writes a SavedModel that takes encoded images, or pixels."""

from __future__ import annotations

import pathlib

import files
from engine.config.jobs import ExportJob
from engine.config.resolve import Setup
from tf_compat import tf
from tools.export import network, samples
from tools.export.network import PIXELS, PROBABILITIES

BYTES = 'image_bytes'


def write(
  graph_def: tf.GraphDef, setup: Setup[ExportJob], folder: pathlib.Path
) -> None:
  """Writes a SavedModel with the signatures `serving_default` and `pixels`.

  Args:
    graph_def: the frozen graph.
    setup: the export.
    folder: the folder to create.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    encoded = tf.placeholder(tf.string, [None], BYTES)
    pixels = _pixels(encoded, setup)
    (probabilities,) = tf.import_graph_def(
      graph_def, {PIXELS: pixels}, [f'{PROBABILITIES}:0'], 'network'
    )
    best = tf.argmax(probabilities, 1, name='classes')
    outputs = {
      PROBABILITIES: probabilities,
      'classes': best,
      'class_names': tf.gather(tf.constant(setup.class_names), best),
    }
    builder = tf.saved_model.Builder(str(folder))
    builder.add_meta_graph_and_variables(
      session,
      [tf.saved_model.SERVING],
      {
        name: tf.saved_model.predict_signature_def({key: value}, outputs)
        for name, key, value in (
          ('serving_default', BYTES, encoded),
          (PIXELS, PIXELS, pixels),
        )
      },
      strip_default_attrs=True,
    )
    builder.save()
  # A folder that TensorFlow Serving leaves to others.
  names = ''.join(f'{name}\n' for name in setup.class_names)
  files.write_text(folder / 'assets.extra' / 'labels.txt', names)


def _pixels(encoded: tf.Tensor, setup: Setup[ExportJob]) -> tf.Tensor:
  """Returns the pixels of encoded images, instead of which they can be fed."""
  shape = setup.image_size, setup.image_size, setup.channels
  fit = samples.only_fit(network.preprocessing(setup))
  pixels = fit.from_encoded(encoded, *shape, seed=tf.zeros([2], tf.int64))
  return tf.placeholder_with_default(pixels, [None, *shape], PIXELS)
