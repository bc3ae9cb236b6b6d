"""Checks a photo and, if necessary, encodes it so that TensorFlow decodes it.

The bytes stay unchanged if TensorFlow decodes them to the intended pixels.
Otherwise the photo is encoded again, as JPEG if its format is lossy and as PNG
if not: rotated by its EXIF orientation, in RGB instead of CMYK, with 8 instead
of 16 bits per channel, only the first frame of an animation, composited on
white if it is transparent, and in half the size if it is too large to decode.
"""

import collections
import contextlib
import contextvars
import dataclasses
import io
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from PIL import Image, ImageOps

from datasets import process_pool, strict_image_check
from datasets.archive import Blob
from datasets.example_features import (
  ExampleFeatures,
  UnusableError,
  Value,
  image_features,
)

MEGAPIXELS = 300  # of the largest photo that is accepted by default
_max_pixels = contextvars.ContextVar('max_pixels', default=MEGAPIXELS * 10**6)
# A process decodes larger photos while no other does, to bound the memory.
_LARGE = 50_000_000  # pixels
_ENCODED = 64 << 20  # bytes that a file may have beside its pixels
_STRIP = 1 << 20  # pixels

# Excludes formats for which Pillow runs other programs, such as EPS. Pillow
# calls JPEGs that contain further images MPO.
FORMATS = ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'PPM')
# File suffix -> format. HEIC, which phones write, is listed so that such files
# are reported and not skipped.
SUFFIXES = {
  '.jpg': 'JPEG',
  '.jpeg': 'JPEG',
  '.jfif': 'JPEG',
  '.png': 'PNG',
  '.gif': 'GIF',
  '.bmp': 'BMP',
  '.webp': 'WEBP',
  '.tif': 'TIFF',
  '.tiff': 'TIFF',
  '.ppm': 'PPM',
  '.heic': 'HEIC',
  '.heif': 'HEIC',
  '.avif': 'AVIF',
}
_LOSSY = ('JPEG', 'MPO', 'WEBP')
_GRAY = ('1', 'L', 'LA', 'I', 'I;16', 'I;16B', 'I;16L', 'I;16N')  # modes
_AS_JPEG = {'format': 'JPEG', 'quality': 95, 'subsampling': 0}
_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = 1

TURNED = 'rotated as EXIF specifies'  # a note


@dataclasses.dataclass(frozen=True)
class Photo:
  """An original: its path below the source, its bytes, and its label."""

  name: str
  blob: Blob
  label: int


@dataclasses.dataclass(frozen=True)
class Picture:
  """A checked photo, encoded as 'JPEG' or 'PNG'."""

  data: bytes
  format: str
  height: int
  width: int
  notes: tuple[str, ...] = ()


def only_photos(
  files: Mapping[str, Blob], where: pathlib.Path
) -> dict[str, Blob]:
  """Returns the files with a photo's suffix; warns of all others."""
  from absl import logging  # Worker processes start faster without it.

  photos = {path: files[path] for path in files if _suffix(path) in SUFFIXES}
  others = collections.Counter(
    _suffix(path) or 'no suffix' for path in files if path not in photos
  )
  if others:
    logging.warning(
      '%s: ignored %d files that are not photos (%s)',
      where,
      sum(others.values()),
      ', '.join(f'{count} {kind}' for kind, count in sorted(others.items())),
    )
  return photos


def has_photos(folder: pathlib.Path) -> bool:
  """Whether a file below a folder has a photo's suffix."""
  return any(
    _suffix(name) in SUFFIXES
    for _, _, names in os.walk(folder)
    for name in names
  )


def _suffix(path: str) -> str:
  return pathlib.PurePosixPath(path).suffix.lower()


def encode_within(
  megapixels: int, encode: Callable[[Any], ExampleFeatures], item: Any
) -> ExampleFeatures:
  """Returns encode(item); photos may have that many megapixels meanwhile."""
  before = _max_pixels.set(megapixels * 10**6)
  try:
    return encode(item)
  finally:
    _max_pixels.reset(before)


def encode(photo: Photo) -> ExampleFeatures:
  """Returns the features of a photo under TF-Slim's keys, with its path.

  Raises:
    UnusableError: if it does not decode.
  """
  return features(check(photo), photo.label, filename=photo.name)


def features(picture: Picture, label: int, **more: Value) -> ExampleFeatures:
  """Returns a picture's features; for `more` see image_features."""
  values = image_features(
    picture.data,
    {'JPEG': 'jpg', 'PNG': 'png'}[picture.format],
    label,
    picture.height,
    picture.width,
    **more,
  )
  return ExampleFeatures(values, picture.notes)


def check(photo: Photo, jpeg_only: bool = False) -> Picture:
  """Reads and checks a photo; with `jpeg_only`, encodes any format as JPEG.

  Raises:
    UnusableError: if it cannot be read or does not decode.
  """
  try:
    data = read(photo.blob)
  except OSError as error:
    raise UnusableError(f'cannot be read: {error.strerror or error}') from error
  return check_bytes(data, photo.name, jpeg_only)


def read(blob: Blob) -> bytes:
  """Returns the bytes of a photo.

  Raises:
    OSError: if it is no file, or a larger one than any photo.
  """
  return blob.read(4 * _max_pixels.get() + _ENCODED)


def check_bytes(data: bytes, name: str, jpeg_only: bool = False) -> Picture:
  """Checks the bytes of a photo, as `check` does."""
  with open_image(data) as image:
    _check_size(image)
    picture = _check(image, data, jpeg_only)
    strict_image_check.check(data, image.format)
    return _with_note_of_name(
      picture, SUFFIXES.get(_suffix(name)), image.format
    )


def is_ordinary(data: bytes) -> bool:
  """Whether `check_bytes` returns these bytes if TensorFlow decodes them.

  It reads a JPEG's header and markers, and decodes nothing. False of other
  formats, and of bytes of which only decoding tells.
  """
  try:
    with open_image(data) as image:
      _check_size(image)
      width, height = image.size
      return (
        _is_ordinary_jpeg(image)
        and _factor('JPEG', width, height, len(image.getbands())) == 1
        and strict_image_check.is_complete_jpeg(data)
      )
  except UnusableError:
    return False


@contextlib.contextmanager
def open_image(data: bytes) -> Iterator[Image.Image]:
  """Opens an image of an accepted format, without decoding it.

  Raises:
    UnusableError: if it cannot be opened, and instead of any error in the body.
  """
  # Pillow's limit to the size is constant; callers have their own.
  Image.MAX_IMAGE_PIXELS = None
  try:
    with warnings.catch_warnings():
      # Pillow warns of odd metadata, which is harmless.
      warnings.simplefilter('ignore')
      with (
        Image.open(io.BytesIO(data), formats=FORMATS) as image,
        process_pool.one_at_a_time()
        if image.width * image.height > _LARGE
        else contextlib.nullcontext(),
      ):
        yield image
  except UnusableError:
    raise
  # Pillow raises SyntaxError, struct.error and others on damaged files.
  except Exception as error:
    raise UnusableError(_reason(error, data)) from error


def _check_size(image: Image.Image) -> None:
  """Raises UnusableError for an image of more pixels than are accepted."""
  width, height = image.size
  if width * height > _max_pixels.get():
    raise UnusableError(
      f'has {width} x {height} pixels, more than --max_megapixels='
      f'{_max_pixels.get() // 10**6}'
    )


def _reason(error: Exception, data: bytes) -> str:
  """Returns the reason why a photo does not decode, in one line."""
  if not data:
    return 'is empty'
  if isinstance(error, Image.UnidentifiedImageError):
    return (
      f'is not an image in a known format: it begins with {data[:8].hex(" ")}'
    )
  text = ' '.join(str(error).split()) or type(error).__name__
  return f'does not decode: {text}'


def _with_note_of_name(
  picture: Picture, expected: str | None, actual: str
) -> Picture:
  """Adds a note if the format of the suffix is not that of the content."""
  actual = 'JPEG' if actual == 'MPO' else actual
  if expected in (None, actual):
    return picture
  note = f'{actual} named as {expected}'
  return dataclasses.replace(picture, notes=(note, *picture.notes))


def _check(image: Image.Image, data: bytes, jpeg_only: bool) -> Picture:
  """Checks and converts an image that is open but not loaded."""
  width, height = image.size
  lossy = jpeg_only or image.format in _LOSSY
  target = 'JPEG' if lossy else 'PNG'
  channels = 1 if image.mode in _GRAY else 3
  factor = _factor(target, width, height, channels)
  if _is_ordinary_jpeg(image) and factor == 1:
    # Decoding at an eighth of the size still reads and checks all compressed
    # data; it saves only the arithmetic.
    image.draft(None, (1, 1))
    image.load()
    return Picture(data, 'JPEG', height, width)
  notes: list[str] = []
  if factor > 1:
    notes.append(f'reduced to 1/{factor} of its width and height')
    image.draft(None, (width // factor, height // factor))
  image.load()
  upright = _upright(image, notes)
  plain = _plain(upright, _has_16_bits(image, data), notes)
  if image.format == 'PNG' and not notes and not jpeg_only:
    return Picture(data, 'PNG', height, width)
  if strict_image_check.is_too_large(
    target, plain.width, plain.height, channels
  ):
    plain = plain.reduce(factor)  # Only JPEGs are decoded in a smaller size.
  if getattr(image, 'n_frames', 1) > 1 and image.format != 'MPO':
    notes.append(f'first frame of {image.format}')
  if target != image.format.replace('MPO', 'JPEG'):
    notes.append(f'{image.format} converted to {target}')
  file = io.BytesIO()
  plain.save(file, **(_AS_JPEG if lossy else {'format': 'PNG'}))
  return Picture(
    file.getvalue(), target, plain.height, plain.width, tuple(notes)
  )


def _factor(target: str, width: int, height: int, channels: int) -> int:
  """Returns by which power of two to reduce, for TensorFlow to decode it."""
  factor = 1
  while strict_image_check.is_too_large(
    target, -(-width // factor), -(-height // factor), channels
  ):
    factor *= 2
  return factor


def _is_ordinary_jpeg(image: Image.Image) -> bool:
  """Whether it is a JPEG that TensorFlow decodes to the intended pixels."""
  return (
    image.format in ('JPEG', 'MPO')
    and image.mode in ('RGB', 'L')
    and _orientation(image) == _UPRIGHT
  )


def _orientation(image: Image.Image) -> int:
  """Returns the EXIF orientation, 1 to 8; upright if it cannot be read."""
  # Searching a JPEG without EXIF for it would cost as much as decoding.
  if image.format in ('JPEG', 'MPO') and 'exif' not in image.info:
    return _UPRIGHT
  try:
    orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
  except Exception:
    return _UPRIGHT
  return orientation if orientation in range(1, 9) else _UPRIGHT


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
  """Returns the image rotated by its EXIF orientation."""
  if _orientation(image) == _UPRIGHT:
    return image
  notes.append(TURNED)
  return ImageOps.exif_transpose(image)


def _on_white(image: Image.Image) -> Image.Image:
  """Composites an RGBA image on white, in strips to need little memory."""
  result = Image.new('RGB', image.size)
  rows = max(1, _STRIP // image.width)
  for top in range(0, image.height, rows):
    end = min(top + rows, image.height)
    strip = image.crop((0, top, image.width, end))
    white = Image.new('RGBA', strip.size, 'white')
    result.paste(Image.alpha_composite(white, strip).convert('RGB'), (0, top))
  return result


def _has_16_bits(image: Image.Image, data: bytes) -> bool:
  """Whether the PNG file or the pixels have 16 bits per channel."""
  if image.format == 'PNG' and strict_image_check.png_depth(data) == 16:
    return True
  return image.mode.startswith('I;16')


def _plain(
  image: Image.Image, has_16_bits: bool, notes: list[str]
) -> Image.Image:
  """Returns the image as opaque RGB or grayscale of 8 bits."""
  if has_16_bits:
    notes.append('reduced from 16 to 8 bits')
  elif image.mode.startswith(('I', 'F')):
    raise UnusableError(f'has 32-bit pixels of unknown range ({image.mode})')
  if image.mode.startswith('I'):
    import numpy as np  # Few photos need it; workers start faster without it.

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if image.has_transparency_data:
    color = image if image.mode == 'RGBA' else image.convert('RGBA')
    if color.getchannel('A').getextrema() != (255, 255):
      notes.append('transparent, composited on white')
      return _on_white(color)
  if image.mode in ('CMYK', 'YCbCr', 'LAB', 'HSV'):
    notes.append(f'{image.mode} converted to RGB')
  mode = 'L' if image.mode in ('1', 'L', 'LA') else 'RGB'
  # Pillow would copy the pixels even if there is nothing to convert.
  return image if image.mode == mode else image.convert(mode)
