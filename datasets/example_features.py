"""Features of an example, computed in worker processes.

A converter returns an `ExampleFeatures` for each original in a worker process;
the main process serializes it (records.py). Keys are TF-Slim's.

This module imports neither TensorFlow nor NumPy, so that workers start fast:
even without TensorFlow, NumPy would take two thirds of the starting time.
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
  import numpy as np

LABEL = 'image/class/label'

Value = int | str | bytes | Sequence[int] | Sequence[float]


class UnusableError(ValueError):
  """An original that cannot become a record; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class ExampleFeatures:
  """Features of a future record, and notes about its original.

  Attributes:
    features: key -> value: a number, text, bytes, or a list of numbers.
    notes: remarks on the original or its conversion, such as 'GIF converted to
      PNG'; the converter counts equal ones.
  """

  features: Mapping[str, Value]
  notes: tuple[str, ...] = ()


def image_features(
  image: bytes,
  image_format: str,
  label: int,
  height: int,
  width: int,
  **more: Value,
) -> dict[str, Value]:
  """Returns the features of an image under TF-Slim's keys.

  Args:
    image: the encoded image.
    image_format: 'png', 'jpg' or 'JPEG', as in TF-Slim's converters.
    label: the class, from 0.
    height: height in pixels.
    width: width in pixels.
    **more: further keys under image/; two underscores stand for a slash.
  """
  values: dict[str, Value] = {
    'encoded': image,
    'format': image_format,
    'class/label': label,
    'height': height,
    'width': width,
  }
  values.update({key.replace('__', '/'): more[key] for key in more})
  return {f'image/{key}': values[key] for key in values}


def pixel_features(
  pixels: 'np.ndarray', label: int, **more: Value
) -> dict[str, Value]:
  """Returns the features of pixels uint8 [H, W] or [H, W, 3], as a PNG."""
  png = io.BytesIO()
  Image.fromarray(pixels).save(png, 'PNG')
  height, width = pixels.shape[:2]
  return image_features(png.getvalue(), 'png', label, height, width, **more)


def encode_pixels(item: 'tuple[np.ndarray, int]') -> ExampleFeatures:
  """Returns the features of (pixels, label)."""
  return ExampleFeatures(pixel_features(*item))
