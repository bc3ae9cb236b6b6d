"""What a record will hold; without TensorFlow, so that workers start at once.

NumPy is left out for the same reason: it is two thirds of what is left.

Keys are TF-Slim's. A converter makes a `Content` of each original, in a worker
process, and the main process serializes it (records.py).
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
  import numpy as np

Value = int | str | bytes | Sequence[int] | Sequence[float]


class UnusableError(ValueError):
  """An original that cannot become a record; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Content:
  """A record to be.

  Attributes:
    features: key -> value: a number, a text, bytes, or a list of numbers.
    notes: what was found or done on the way, each in words that can be counted.
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
  """One image under TF-Slim's keys.

  Args:
    image: the encoded image.
    image_format: 'png', 'jpg' or 'JPEG', as TF-Slim's converters name them.
    label: the class, from 0.
    height: in pixels.
    width: in pixels.
    **more: further keys under image/, with two underscores for a slash.
  """
  values = {
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
  """The same of pixels [H, W] or [H, W, 3], as a PNG."""
  png = io.BytesIO()
  Image.fromarray(pixels).save(png, 'PNG')
  height, width = pixels.shape[:2]
  return image_features(png.getvalue(), 'png', label, height, width, **more)


def of_pixels(item: 'tuple[np.ndarray, int]') -> Content:
  """The content of (pixels, label)."""
  return Content(pixel_features(*item))
