"""A record as it is looked at; without TensorFlow, for worker processes."""

import dataclasses
import hashlib
import io
import warnings

from PIL import Image

from datasets import encoded
from datasets.content import UnusableError

# Whatever Pillow knows is recognized; these are what the reader decodes.
DECODED = ('JPEG', 'MPO', 'PNG', 'GIF', 'BMP')

Boxes = tuple[tuple[float, float, float, float], ...]


@dataclasses.dataclass(frozen=True)
class Look:
  """An image as it decodes.

  Attributes:
    kind: its format and colors: 'JPEG RGB'.
    width: in pixels.
    height: in pixels.
    digest: of its pixels, the same for the same picture in another encoding.
  """

  kind: str
  width: int
  height: int
  digest: bytes


@dataclasses.dataclass(frozen=True)
class Sight:
  """One record.

  Attributes:
    file: where it is.
    number: its place in the file, from 0.
    offset: of its first byte in the file.
    label: its class, or None.
    encoded: the image's bytes.
    boxes: ymin, xmin, ymax, xmax of each, as shares of the sides.
    look: the image, or None if it cannot be used.
    problem: why the record cannot be used, or None.
  """

  file: str
  number: int
  offset: int
  label: int | None = None
  encoded: bytes = b''
  boxes: Boxes = ()
  look: Look | None = None
  problem: str | None = None

  @property
  def name(self) -> str:
    return f'{self.file}: record {self.number} (from 0) at byte {self.offset}'


def look(sight: Sight) -> Look:
  """Decodes a record's image; it runs in worker processes.

  Raises:
    UnusableError: if it does not decode, or the record had a problem before.
  """
  if sight.problem:
    raise UnusableError(sight.problem)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      with Image.open(io.BytesIO(sight.encoded)) as image:
        found, size = image.format, image.size
        image.load()
        encoded.check(sight.encoded, found)
        content = f'{image.mode} {size} '.encode() + image.tobytes()
  # Pillow raises SyntaxError, struct.error and more on what is damaged.
  except Exception as error:
    raise UnusableError(
      f'has an image that does not decode: {" ".join(str(error).split())}'
    ) from error
  if found not in DECODED:
    raise UnusableError(f'has an image in {found}, which TensorFlow has not')
  return Look(
    f'{found} {image.mode}', *size, hashlib.sha256(content).digest()[:16]
  )
