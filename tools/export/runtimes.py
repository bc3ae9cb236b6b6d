"""Runs an exported model in a process of its own, without this project.

Standard input has the format, the model and a folder, which holds lengths.npy [N]
and encoded.bin, the encoded images, and pixels.npy [N or more, H, W, C]. It
receives probabilities.npy [N, classes], those of the encoded images in
probabilities_of_bytes.npy if the model takes them, and milliseconds.npy, the time
of single images.
"""

import os
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np

BATCH = 16
# Images that are run alone, to measure time.
SINGLE = 50

Run = Callable[[np.ndarray], np.ndarray]


def main() -> None:
  """Runs a model on the images of a folder."""
  kind, model, name = sys.stdin.read().split('\n')
  folder = pathlib.Path(name)
  run, of_bytes = LOADERS[kind](model)
  count = len(np.load(folder / 'lengths.npy'))
  pixels = np.load(folder / 'pixels.npy', mmap_mode='r')[:count]
  milliseconds = []
  for image in pixels[:SINGLE]:
    began = time.perf_counter()
    run(image[np.newaxis])
    milliseconds.append(1000 * (time.perf_counter() - began))
  batches = range(0, len(pixels), BATCH)
  probabilities = [run(np.array(pixels[at : at + BATCH])) for at in batches]
  np.save(folder / 'milliseconds.npy', milliseconds)
  np.save(folder / 'probabilities.npy', np.concatenate(probabilities))
  if of_bytes:
    images = encoded(folder)
    probabilities = [of_bytes(images[at : at + BATCH]) for at in batches]
    np.save(
      folder / 'probabilities_of_bytes.npy', np.concatenate(probabilities)
    )


def encoded(folder: pathlib.Path) -> list[bytes]:
  """Returns the encoded images of a folder."""
  data = (folder / 'encoded.bin').read_bytes()
  ends = np.cumsum(np.load(folder / 'lengths.npy'))
  starts = [0, *ends[:-1]]
  return [data[a:b] for a, b in zip(starts, ends, strict=True)]


def load_saved_model(
  path: str,
) -> tuple[Run, Callable[[list[bytes]], np.ndarray]]:
  """Returns functions of pixels and of encoded images -> probabilities."""
  import tensorflow as tf

  signatures = tf.saved_model.load(path).signatures

  def of_pixels(pixels):
    outputs = signatures['pixels'](pixels=tf.constant(pixels))
    return outputs['probabilities'].numpy()

  def of_bytes(images):
    outputs = signatures['serving_default'](image_bytes=tf.constant(images))
    best = outputs['probabilities'].numpy().argmax(1)
    if not (outputs['classes'].numpy() == best).all():
      raise ValueError('the classes are not those of the largest probabilities')
    return outputs['probabilities'].numpy()

  return of_pixels, of_bytes


def load_tflite(path: str) -> tuple[Run, None]:
  """Returns a function of pixels -> probabilities."""
  from ai_edge_litert.interpreter import Interpreter

  interpreter = Interpreter(path, num_threads=os.cpu_count())
  interpreter.allocate_tensors()
  (source,) = interpreter.get_input_details()
  (result,) = interpreter.get_output_details()

  def run(pixels):
    outputs = []
    for image in pixels:
      interpreter.set_tensor(source['index'], image[np.newaxis])
      interpreter.invoke()
      outputs.append(interpreter.get_tensor(result['index'])[0].copy())
    return np.stack(outputs)

  return run, None


def load_onnx(path: str) -> tuple[Run, None]:
  """Returns a function of pixels -> probabilities."""
  import onnxruntime

  session = onnxruntime.InferenceSession(
    path, providers=['CPUExecutionProvider']
  )
  return lambda pixels: session.run(None, {'pixels': pixels})[0], None


LOADERS: dict[str, Callable] = {
  'saved_model': load_saved_model,
  'tflite': load_tflite,
  'onnx': load_onnx,
}

if __name__ == '__main__':
  main()
