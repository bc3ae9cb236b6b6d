"""Maps over images: one grid of all, and each alone."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

import files
from engine import picture as drawing
from engine.gaze import Picture

# Inches of a panel, and most dots of a picture's side.
PANEL, MOST_DOTS = 2.1, 20_000
# Inches of a colour bar.
BAR = 0.13
# A small image is enlarged to this many pixels.
LEAST_SIDE = 224
# Share of the map's colour over the image.
OPACITY = 0.6
COLOURS = matplotlib.colormaps['plasma']
LONGEST_NAME = 28


def draw(
  pictures: Sequence[Picture], title: str, path: str | os.PathLike
) -> None:
  """Draws a row for each image: itself, Grad-CAM, gates; scales below.

  A gate's colours are those of one scale for all images, so that they can be
  compared; Grad-CAM's, of each image's own maximum.

  Args:
    pictures: one or more, all with the same gates.
    title: stands above.
    path: the PNG file.
  """
  points = list(pictures[0].gaze.gates)
  columns, rows = 2 + len(points), len(pictures)
  size = PANEL * columns, 0.35 + (PANEL + 0.42) * rows + 0.75
  figure = Figure(
    figsize=size, dpi=min(110, MOST_DOTS / max(size)), layout='constrained'
  )
  figure.get_layout_engine().set(w_pad=0.05, h_pad=0.03)
  *axes, scales = figure.subplots(
    rows + 1, columns, height_ratios=[PANEL] * rows + [BAR], squeeze=False
  )
  axes = np.array(axes)
  figure.suptitle(
    drawing.legible(title, int(11 * size[0])), fontsize=10, parse_math=False
  )
  _draw_images(axes[:, 0], pictures)
  _draw_grad_cams(axes[:, 1], pictures, scales[1])
  for number, point in enumerate(points):
    _draw_gates(axes[:, 2 + number], pictures, point, scales[2 + number])
  for panel in axes.flat:
    panel.set_xticks([])
    panel.set_yticks([])
  scales[0].set_axis_off()
  drawing.save(figure, path)


def save_alone(
  image: np.ndarray, heat: np.ndarray | None, path: str | os.PathLike
) -> None:
  """Writes an image [H, W, C], under a map [h, w] in [0, 1] if one is given."""
  pixels = _enlarged(image) if heat is None else overlay(image, heat)
  with files.replacing(path) as temporary:
    Image.fromarray(np.uint8(np.rint(pixels * 255))).save(temporary, 'PNG')


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
  """The image in gray under the map's colours, float [H', W', 3].

  Args:
    image: float [H, W, 1 or 3] in [0, 1].
    heat: float [h, w] in [0, 1], enlarged bilinearly.
  """
  large = _enlarged(image)
  height, width, _ = large.shape
  resized = Image.fromarray(heat.astype(np.float32)).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  colour = COLOURS(np.asarray(resized))[..., :3]
  # Black and white would drown the colours.
  gray = 0.2 + 0.6 * large.mean(axis=2, keepdims=True)
  return (1 - OPACITY) * gray + OPACITY * colour


def relative(heat: np.ndarray) -> np.ndarray:
  """Shares of the maximum; zeros stay zeros."""
  return heat / max(float(heat.max()), np.finfo(np.float32).tiny)


def stretched(heat: np.ndarray, low: float, high: float) -> np.ndarray:
  """(heat - low) / (high - low); 0 where there is no range."""
  return (heat - low) / max(float(high - low), np.finfo(np.float32).tiny)


def _enlarged(image: np.ndarray) -> np.ndarray:
  """In three channels, its pixels repeated until it can be seen."""
  times = -(-LEAST_SIDE // min(image.shape[:2]))
  large = image.repeat(times, axis=0).repeat(times, axis=1)
  return np.broadcast_to(large, (*large.shape[:2], 3))


def _draw_images(column: Sequence[Axes], pictures: Sequence[Picture]) -> None:
  for axes, picture in zip(column, pictures, strict=True):
    axes.imshow(_enlarged(picture.image), interpolation='bilinear')
    truth = f'\nin truth: {_short(picture.truth)}' if picture.truth else '\n'
    _caption(axes, _short(picture.name) + truth)
  _head(column[0], 'image')


def _draw_grad_cams(
  column: Sequence[Axes], pictures: Sequence[Picture], scale: Axes
) -> None:
  for axes, picture in zip(column, pictures, strict=True):
    heat = picture.gaze.grad_cam
    axes.imshow(overlay(picture.image, relative(heat)))
    nothing = '' if heat.any() else ', nothing speaks for it'
    _caption(
      axes,
      f'{_short(picture.explained)}\n'
      f'probability {picture.probability:.3f}{nothing}',
    )
  side = '×'.join(map(str, pictures[0].gaze.grad_cam.shape))
  _head(column[0], f'Grad-CAM, {side}')
  _explain(scale, Normalize(0, 1), 'share of the maximum')


def _draw_gates(
  column: Sequence[Axes],
  pictures: Sequence[Picture],
  point: str,
  scale: Axes,
) -> None:
  gates = [picture.gaze.gates[point] for picture in pictures]
  low = min(float(gate.min()) for gate in gates)
  high = max(float(gate.max()) for gate in gates)
  for axes, picture, gate in zip(column, pictures, gates, strict=True):
    axes.imshow(overlay(picture.image, stretched(gate, low, high)))
    _caption(axes, f'{gate.min():.3g} to {gate.max():.3g}\n')
  side = '×'.join(map(str, gates[0].shape))
  _head(column[0], _folded(f'{point}, {side}'))
  _explain(scale, Normalize(low, high), 'gate')


def _explain(axes: Axes, norm: Normalize, label: str) -> None:
  """What the colours of the column above say."""
  bar = axes.figure.colorbar(
    ScalarMappable(norm, COLOURS), cax=axes, orientation='horizontal'
  )
  axes.tick_params(labelsize=7)
  axes.xaxis.set_major_locator(MaxNLocator(4, prune='both'))
  bar.set_label(label, fontsize=8)


def _head(axes: Axes, text: str) -> None:
  axes.set_title(text, fontsize=8, fontweight='bold', parse_math=False)


def _caption(axes: Axes, text: str) -> None:
  axes.set_xlabel(text, fontsize=8, parse_math=False)


def _short(text: str) -> str:
  return drawing.legible(text, LONGEST_NAME, otherwise='?')


def _folded(point: str) -> str:
  """A point's name, and what follows it, in lines that fit over a panel."""
  lines = ['']
  for part in point.split('/'):
    joined = f'{lines[-1]}/{part}' if lines[-1] else part
    if len(joined) <= LONGEST_NAME:
      lines[-1] = joined
    else:
      lines[-1] += '/'
      lines.append(part)
  return '\n'.join(lines)
