"""attention.png, a grid of maps over images; and each map as a file."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

import files
from engine.config.jobs import PNG
from engine.plots import style as plot_style
from tools.visualization.grad_cam import ExplainedImage

# Side of a panel, and room for the text around it, in inches.
PANEL, TEXT = 2.1, 0.75
BAR = 0.5  # height of the color bar and its labels, in inches
GROUND = '#eeeeee'  # behind the panels of an image
# Panels side by side, and the shape of the grid to aim at.
MAX_COLUMNS, ASPECT = 10, 1.4
MAX_PIXELS = 20_000  # per side of the grid
MIN_SIDE = 224  # pixels; smaller images are enlarged
OPACITY = 0.45  # of a map over its image
COLORS = matplotlib.colormaps['plasma']
LONGEST_NAME = 28  # characters


def draw(
  images: Sequence[ExplainedImage],
  title: str,
  path: str | os.PathLike[str],
  plot_format: str = PNG,
) -> None:
  """Draws a grid with the panels of each image: the image, Grad-CAM, gates.

  The colors of a gate have the same scale for all images, so that these can be
  compared. Those of Grad-CAM are relative to the maximum of each image.

  Args:
    images: at least one; all have gates of the same attention points.
    title: text above the panels.
    path: the PNG file to write.
    plot_format: also draw it in this format.
  """
  panels = 2 + len(images[0].explanation.gates)
  across, columns = _shape(len(images), panels)
  lines = -(-panels // columns)
  rows = lines * -(-len(images) // across)
  size = PANEL * across * columns + 0.2, 0.3 + BAR + (PANEL + TEXT) * rows
  figure = Figure(
    figsize=size,
    dpi=min(110, MAX_PIXELS / max(size)),
    layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.03),
  )
  figure.suptitle(
    plot_style.legible(title, int(11 * size[0])), fontsize=10, parse_math=False
  )
  top, bottom = figure.subfigures(2, 1, height_ratios=(size[1] - BAR, BAR))
  blocks = top.subfigures(
    -(-len(images) // across), across, wspace=0.02, hspace=0.01, squeeze=False
  )
  scales = gate_scales(images)
  for block, image in zip(blocks.flat, images, strict=False):
    block.set_facecolor(GROUND)
    axes = block.subplots(lines, columns, squeeze=False)
    _draw_panels([*axes.flat], image, scales)
  _draw_color_bar(bottom)
  plot_style.save(figure, path, plot_format)


def _shape(images: int, panels: int) -> tuple[int, int]:
  """Returns the images side by side, and the panels of each side by side.

  The grid comes near to ASPECT, with as few empty panels and as few images
  over several lines as that allows.
  """

  def distance(shape: tuple[int, int]) -> float:
    across, columns = shape
    lines = -(-panels // columns)
    rows = lines * -(-images // across)
    ratio = across * columns * PANEL / (rows * (PANEL + TEXT))
    holes = rows * across * columns / (images * panels)
    return abs(math.log(ratio / ASPECT)) + math.log(holes) + 0.3 * (lines - 1)

  shapes = itertools.product(
    range(1, min(images, MAX_COLUMNS) + 1),
    range(min(panels, 3), min(panels, MAX_COLUMNS) + 1),
  )
  return min((s for s in shapes if s[0] * s[1] <= MAX_COLUMNS), key=distance)


def gate_scales(
  images: Sequence[ExplainedImage],
) -> dict[str, tuple[float, float]]:
  """Returns the lowest and highest value of each attention point's gates."""
  gates = [image.explanation.gates for image in images]
  return {
    point: (
      min(float(each[point].min()) for each in gates),
      max(float(each[point].max()) for each in gates),
    )
    for point in gates[0]
  }


def save_single(
  image: np.ndarray, heat: np.ndarray | None, path: str | os.PathLike[str]
) -> None:
  """Writes a PNG file of an image, alone or with a map over it.

  Args:
    image: float [H, W, 1 or 3] in [0, 1].
    heat: float [h, w] in [0, 1], or None.
    path: the file to write.
  """
  pixels = enlarge(image) if heat is None else overlay(image, heat)
  with files.replacing(path) as temporary:
    Image.fromarray(np.uint8(np.rint(pixels * 255))).save(temporary, 'PNG')


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
  """Returns the image in gray under the colors of a map, float [H', W', 3].

  Args:
    image: float [H, W, 1 or 3] in [0, 1].
    heat: float [h, w] in [0, 1], enlarged bilinearly.
  """
  large = enlarge(image)
  height, width, _ = large.shape
  resized = Image.fromarray(heat.astype(np.float32)).resize(
    (width, height), Image.Resampling.BILINEAR
  )
  color = COLORS(np.asarray(resized))[..., :3]
  # Neither black nor white: the map's color is seen on both.
  gray = 0.1 + 0.8 * large.mean(axis=2, keepdims=True)
  return (1 - OPACITY) * gray + OPACITY * color


def relative(heat: np.ndarray) -> np.ndarray:
  """heat / max(heat); 0 where all are 0."""
  return heat / max(float(heat.max()), np.finfo(np.float32).tiny)


def stretched(heat: np.ndarray, low: float, high: float) -> np.ndarray:
  """(heat - low) / (high - low); 0 where there is no range."""
  return (heat - low) / max(float(high - low), np.finfo(np.float32).tiny)


def enlarge(image: np.ndarray) -> np.ndarray:
  """Repeats pixels until each side has MIN_SIDE or more; three channels."""
  times = -(-MIN_SIDE // min(image.shape[:2]))
  large = image.repeat(times, axis=0).repeat(times, axis=1)
  return np.broadcast_to(large, (*large.shape[:2], 3))


def _draw_panels(
  panels: Sequence[Axes],
  image: ExplainedImage,
  scales: Mapping[str, tuple[float, float]],
) -> None:
  """Draws an image, its Grad-CAM and its gates into the first panels."""
  truth = f'\ntrue class: {_short(image.truth)}' if image.truth else '\n'
  heat = image.explanation.grad_cam
  remark = '' if heat.any() else ', no evidence for it'
  pictures = [
    (enlarge(image.image), 'image', _short(image.name) + truth),
    (
      overlay(image.image, relative(heat)),
      f'Grad-CAM, {_side(heat)}',
      f'{_short(image.explained)}\nprobability {image.probability:.3f}{remark}',
    ),
  ]
  for point, (low, high) in scales.items():
    gate = image.explanation.gates[point]
    pictures.append(
      (
        overlay(image.image, stretched(gate, low, high)),
        _wrap(f'{point}, {_side(gate)}'),
        f'{gate.min():.3g} to {gate.max():.3g}\n'
        f'colors: {low:.3g} to {high:.3g}',
      )
    )
  for axes in panels:
    axes.set_axis_off()
  for axes, (pixels, heading, caption) in zip(panels, pictures, strict=False):
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.imshow(pixels, interpolation='bilinear')
    _set_heading(axes, heading)
    _set_caption(axes, caption)


def _side(values: np.ndarray) -> str:
  """'7×7', the height and width of a map."""
  return '×'.join(map(str, values.shape))


def _draw_color_bar(figure: SubFigure) -> None:
  """Draws the scale that all maps share, relative to the range of each."""
  axes = figure.add_axes((0.25, 0.65, 0.5, 0.25))
  bar = figure.colorbar(
    ScalarMappable(Normalize(0, 1), COLORS), cax=axes, orientation='horizontal'
  )
  bar.set_ticks(
    [0, 1], labels=['lowest: 0 of Grad-CAM', "highest of the map's range"]
  )
  bar.ax.tick_params(labelsize=8)


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
