"""attention.png, a grid of maps over images; and each map as a file."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from PIL import Image

import files
from engine.plots import style as plot_style
from tools.visualization.grad_cam import ExplainedImage

# Sides of a panel, and height of a color bar, in inches.
PANEL, BAR = 2.1, 0.13
MAX_PIXELS = 20_000  # per side of the grid
MIN_SIDE = 224  # pixels; smaller images are enlarged
OPACITY = 0.6  # of a map over its image
COLORS = matplotlib.colormaps['plasma']
LONGEST_NAME = 28  # characters


def draw(
  images: Sequence[ExplainedImage], title: str, path: str | os.PathLike[str]
) -> None:
  """Draws a row per image: the image, Grad-CAM, gates; color bars below.

  The colors of a gate have the same scale for all images, so that these can be
  compared. Those of Grad-CAM are relative to the maximum of each image.

  Args:
    images: at least one; all have gates of the same attention points.
    title: text above the panels.
    path: the PNG file to write.
  """
  points = list(images[0].explanation.gates)
  columns, rows = 2 + len(points), len(images)
  size = PANEL * columns, 0.35 + (PANEL + 0.42) * rows + 0.75
  figure = Figure(
    figsize=size,
    dpi=min(110, MAX_PIXELS / max(size)),
    layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.03),
  )
  *axes, bars = figure.subplots(
    rows + 1, columns, height_ratios=[PANEL] * rows + [BAR], squeeze=False
  )
  axes = np.array(axes)
  figure.suptitle(
    plot_style.legible(title, int(11 * size[0])), fontsize=10, parse_math=False
  )
  _draw_images(axes[:, 0], images)
  _draw_grad_cams(axes[:, 1], images, bars[1])
  for number, point in enumerate(points):
    _draw_gates(axes[:, 2 + number], images, point, bars[2 + number])
  for panel in axes.flat:
    panel.set_xticks([])
    panel.set_yticks([])
  bars[0].set_axis_off()
  plot_style.save(figure, path)


def save_single(
  image: np.ndarray, heat: np.ndarray | None, path: str | os.PathLike[str]
) -> None:
  """Writes a PNG file of an image, alone or with a map over it.

  Args:
    image: float [H, W, 1 or 3] in [0, 1].
    heat: float [h, w] in [0, 1], or None.
    path: the file to write.
  """
  pixels = _enlarge(image) if heat is None else overlay(image, heat)
  with files.replacing(path) as temporary:
    Image.fromarray(np.uint8(np.rint(pixels * 255))).save(temporary, 'PNG')


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
  """Returns the image in gray under the colors of a map, float [H', W', 3].

  Args:
    image: float [H, W, 1 or 3] in [0, 1].
    heat: float [h, w] in [0, 1], enlarged bilinearly.
  """
  large = _enlarge(image)
  height, width, _ = large.shape
  resized = Image.fromarray(heat.astype(np.float32)).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  color = COLORS(np.asarray(resized))[..., :3]
  # Less contrast: colors would not be visible on black and white.
  gray = 0.2 + 0.6 * large.mean(axis=2, keepdims=True)
  return (1 - OPACITY) * gray + OPACITY * color


def relative(heat: np.ndarray) -> np.ndarray:
  """heat / max(heat); 0 where all are 0."""
  return heat / max(float(heat.max()), np.finfo(np.float32).tiny)


def stretched(heat: np.ndarray, low: float, high: float) -> np.ndarray:
  """(heat - low) / (high - low); 0 where there is no range."""
  return (heat - low) / max(float(high - low), np.finfo(np.float32).tiny)


def _enlarge(image: np.ndarray) -> np.ndarray:
  """Repeats pixels until each side has MIN_SIDE or more; three channels."""
  times = -(-MIN_SIDE // min(image.shape[:2]))
  large = image.repeat(times, axis=0).repeat(times, axis=1)
  return np.broadcast_to(large, (*large.shape[:2], 3))


def _draw_images(
  column: Sequence[Axes], images: Sequence[ExplainedImage]
) -> None:
  """Draws the images, with their names and classes."""
  for axes, image in zip(column, images, strict=True):
    axes.imshow(_enlarge(image.image), interpolation='bilinear')
    truth = f'\ntrue class: {_short(image.truth)}' if image.truth else '\n'
    _set_caption(axes, _short(image.name) + truth)
  _set_heading(column[0], 'image')


def _draw_grad_cams(
  column: Sequence[Axes], images: Sequence[ExplainedImage], bar: Axes
) -> None:
  """Draws Grad-CAM over the images, and its color bar."""
  for axes, image in zip(column, images, strict=True):
    heat = image.explanation.grad_cam
    axes.imshow(overlay(image.image, relative(heat)))
    remark = '' if heat.any() else ', no evidence for it'
    _set_caption(
      axes,
      f'{_short(image.explained)}\nprobability {image.probability:.3f}{remark}',
    )
  side = '×'.join(map(str, images[0].explanation.grad_cam.shape))
  _set_heading(column[0], f'Grad-CAM, {side}')
  _draw_color_bar(bar, Normalize(0, 1), 'share of the maximum')


def _draw_gates(
  column: Sequence[Axes],
  images: Sequence[ExplainedImage],
  point: str,
  bar: Axes,
) -> None:
  """Draws the gates of an attention point over the images, and a color bar."""
  gates = [image.explanation.gates[point] for image in images]
  low = min(float(gate.min()) for gate in gates)
  high = max(float(gate.max()) for gate in gates)
  for axes, image, gate in zip(column, images, gates, strict=True):
    axes.imshow(overlay(image.image, stretched(gate, low, high)))
    _set_caption(axes, f'{gate.min():.3g} to {gate.max():.3g}\n')
  side = '×'.join(map(str, gates[0].shape))
  _set_heading(column[0], _wrap(f'{point}, {side}'))
  _draw_color_bar(bar, Normalize(low, high), 'gate')


def _draw_color_bar(axes: Axes, norm: Normalize, label: str) -> None:
  """Draws the scale of the colors in the column above."""
  bar = axes.figure.colorbar(
    ScalarMappable(norm, COLORS), cax=axes, orientation='horizontal'
  )
  axes.tick_params(labelsize=7)
  axes.xaxis.set_major_locator(MaxNLocator(4, prune='both'))
  bar.set_label(label, fontsize=8)


def _set_heading(axes: Axes, text: str) -> None:
  """Writes a text above a column."""
  axes.set_title(text, fontsize=8, fontweight='bold', parse_math=False)


def _set_caption(axes: Axes, text: str) -> None:
  """Writes a text below a panel."""
  axes.set_xlabel(text, fontsize=8, parse_math=False)


def _short(text: str) -> str:
  """Returns a text as far as it can be drawn, on one short line."""
  return plot_style.legible(text, LONGEST_NAME, otherwise='?')


def _wrap(point: str) -> str:
  """Wraps an attention point's name after slashes, to the width of a panel."""
  lines = ['']
  for part in point.split('/'):
    joined = f'{lines[-1]}/{part}' if lines[-1] else part
    if len(joined) <= LONGEST_NAME:
      lines[-1] = joined
    else:
      lines[-1] += '/'
      lines.append(part)
  return '\n'.join(lines)
