"""One photo of anybody's: checked, and made what the reader decodes alike.

The bytes stay as they are where TensorFlow decodes them to what is meant.
Otherwise the picture is encoded anew, as JPEG if it came in a lossy format, and
else as PNG: rotated as EXIF says, in RGB instead of CMYK, with 8 bits of 16, of
an animation the first frame, laid on white where it is transparent.
"""

import collections
import dataclasses
import io
import pathlib
import warnings
from collections.abc import Mapping

from PIL import Image, ImageOps

from datasets import encoded
from datasets.content import Content, UnusableError, Value, image_features
from datasets.tree import Blob

# Never those that run other programs, such as EPS. Some JPEGs hold further
# pictures, which Pillow calls MPO then.
FORMATS = ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'PPM')
# A file's ending -> the format it promises. HEIC, which phones write, is here
# so that such files are reported and not passed over.
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
_AS_JPEG = {'format': 'JPEG', 'quality': 95, 'subsampling': 0}
_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = 1

TURNED = 'turned as EXIF says'  # a note


@dataclasses.dataclass(frozen=True)
class Photo:
  """An original: its path among the originals, its bytes, and its label."""

  name: str
  blob: Blob
  label: int


@dataclasses.dataclass(frozen=True)
class Picture:
  """A photo that has been checked: encoded as 'JPEG' or 'PNG'."""

  data: bytes
  format: str
  height: int
  width: int
  notes: tuple[str, ...] = ()


def only_photos(
  files: Mapping[str, Blob], where: pathlib.Path
) -> dict[str, Blob]:
  """Those of the files that are named as photos; others are told of."""
  from absl import logging  # Workers start sooner without it.

  photos = {path: files[path] for path in files if _suffix(path) in SUFFIXES}
  others = collections.Counter(
    _suffix(path) or 'no ending' for path in files if path not in photos
  )
  if others:
    logging.warning(
      '%s: %d files that are no photos ignored (%s)',
      where,
      sum(others.values()),
      ', '.join(f'{count} {kind}' for kind, count in sorted(others.items())),
    )
  return photos


def _suffix(path: str) -> str:
  return pathlib.PurePosixPath(path).suffix.lower()


def encode(photo: Photo) -> Content:
  """The content of a photo, under TF-Slim's keys and its path.

  Raises:
    UnusableError: if it does not decode.
  """
  return content(check(photo), photo.label, filename=photo.name)


def content(picture: Picture, label: int, **more: Value) -> Content:
  """A picture's content under TF-Slim's keys; for `more` see image_features."""
  features = image_features(
    picture.data,
    {'JPEG': 'jpg', 'PNG': 'png'}[picture.format],
    label,
    picture.height,
    picture.width,
    **more,
  )
  return Content(features, picture.notes)


def check(photo: Photo, jpeg_only: bool = False) -> Picture:
  """Reads and checks a photo; `jpeg_only` makes all others JPEGs.

  Raises:
    UnusableError: if it cannot be read or does not decode.
  """
  try:
    data = photo.blob.read()
  except OSError as error:
    raise UnusableError(f'cannot be read: {error.strerror or error}') from error
  return check_bytes(data, photo.name, jpeg_only)


def check_bytes(data: bytes, name: str, jpeg_only: bool = False) -> Picture:
  """As `check`, of a photo that has been read."""
  try:
    with warnings.catch_warnings():
      # Of odd metadata Pillow only warns, and so of images that take gigabytes.
      warnings.simplefilter('ignore')
      warnings.simplefilter('error', Image.DecompressionBombWarning)
      with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        picture = _check(image, data, jpeg_only)
        encoded.check(data, image.format)
        promised = SUFFIXES.get(_suffix(name))
        return _with_note_of_name(picture, promised, image.format)
  except UnusableError:
    raise
  # Pillow raises SyntaxError, struct.error and more on what is damaged.
  except Exception as error:
    raise UnusableError(_reason(error, data)) from error


def _reason(error: Exception, data: bytes) -> str:
  """Why a photo does not decode, in one line."""
  if not data:
    return 'is empty'
  if isinstance(error, Image.UnidentifiedImageError):
    return f'is no image in a known format: begins with {data[:8].hex(" ")}'
  text = ' '.join(str(error).split()) or type(error).__name__
  return f'does not decode: {text}'


def _with_note_of_name(
  picture: Picture, promised: str | None, found: str
) -> Picture:
  """Notes that a name promises another format than the content has."""
  found = 'JPEG' if found == 'MPO' else found
  if promised in (None, found):
    return picture
  note = f'{found} named as {promised}'
  return dataclasses.replace(picture, notes=(note, *picture.notes))


def _check(image: Image.Image, data: bytes, jpeg_only: bool) -> Picture:
  """The picture of an image that has been opened and not loaded."""
  if _is_usual_jpeg(image):
    width, height = image.size
    # An eighth of the size: all that is compressed is read and checked, and
    # only the arithmetic behind it is saved.
    image.draft(None, (1, 1))
    image.load()
    return Picture(data, 'JPEG', height, width)
  image.load()
  notes = []
  upright = _upright(image, notes)
  plain = _plain(upright, _has_16_bits(image, data), notes)
  if image.format == 'PNG' and not notes and not jpeg_only:
    return Picture(data, 'PNG', image.height, image.width)
  lossy = jpeg_only or image.format in _LOSSY
  if getattr(image, 'n_frames', 1) > 1 and image.format != 'MPO':
    notes.append(f'first frame of {image.format}')
  target = 'JPEG' if lossy else 'PNG'
  if target != image.format.replace('MPO', 'JPEG'):
    notes.append(f'{image.format} made {target}')
  file = io.BytesIO()
  plain.save(file, **(_AS_JPEG if lossy else {'format': 'PNG'}))
  return Picture(
    file.getvalue(), target, plain.height, plain.width, tuple(notes)
  )


def _is_usual_jpeg(image: Image.Image) -> bool:
  """Whether the reader's decoder gives what is meant, without our help."""
  return (
    image.format in ('JPEG', 'MPO')
    and image.mode in ('RGB', 'L')
    and _orientation(image) == _UPRIGHT
  )


def _orientation(image: Image.Image) -> int:
  """EXIF's orientation, 1 to 8; upright where there is none that reads."""
  # Looking for EXIF in a JPEG that has none would cost as much as decoding.
  if image.format in ('JPEG', 'MPO') and 'exif' not in image.info:
    return _UPRIGHT
  try:
    orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
  except Exception:
    return _UPRIGHT
  return orientation if orientation in range(1, 9) else _UPRIGHT


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
  """The image turned as EXIF says."""
  if _orientation(image) == _UPRIGHT:
    return image
  notes.append(TURNED)
  return ImageOps.exif_transpose(image)


def _has_16_bits(image: Image.Image, data: bytes) -> bool:
  """Whether a PNG or the pixels have 16 bits a channel."""
  if image.format == 'PNG' and encoded.png_depth(data) == 16:
    return True
  return image.mode.startswith('I;16')


def _plain(
  image: Image.Image, has_16_bits: bool, notes: list[str]
) -> Image.Image:
  """The image as opaque RGB or gray of 8 bits."""
  if has_16_bits:
    notes.append('16 bits made 8')
  elif image.mode.startswith(('I', 'F')):
    raise UnusableError(
      f'has pixels of 32 bits, of unknown range ({image.mode})'
    )
  if image.mode.startswith('I'):
    import numpy as np  # As above: few photos need it.

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if image.has_transparency_data:
    color = image.convert('RGBA')
    if color.getchannel('A').getextrema() != (255, 255):
      notes.append('transparent, laid on white')
      white = Image.new('RGBA', color.size, 'white')
      return Image.alpha_composite(white, color).convert('RGB')
  if image.mode in ('CMYK', 'YCbCr', 'LAB', 'HSV'):
    notes.append(f'{image.mode} made RGB')
  return image.convert('L' if image.mode in ('1', 'L', 'LA') else 'RGB')
