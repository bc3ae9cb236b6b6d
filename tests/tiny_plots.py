"""Plots of one pixel: drawing real ones takes half of a short training."""

from PIL import Image


def save(figure, path, plot_format: str = 'png') -> None:
  """Replaces engine.plots.style.save."""
  Image.new('L', (1, 1)).save(path)
