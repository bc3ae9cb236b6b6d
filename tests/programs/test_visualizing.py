"""visualize_attention.py as a process."""

import pytest

# Each starts processes.
pytestmark = pytest.mark.slow


def test_a_plot_and_arrays_are_written(run, trained, tmp_path):
  process = run(
    'visualize', checkpoint_path=trained / 'cbam', num_images=2,
    output_dir='out',
  )  # fmt: skip
  assert process.code == 0, process.stderr
  assert 'Grad-CAM and 2 spatial gates of 2 images in' in process.stderr
  assert (tmp_path / 'out' / 'attention.png').exists()
  assert (tmp_path / 'out' / '001_test_1' / 'arrays.npz').exists()


def test_a_mistake_is_reported_in_one_line(run, trained):
  process = run('visualize', checkpoint_path=trained / 'cbam', images='no.png')
  assert process.code == 2
  assert process.error.startswith('There is no image no.png')
  assert '\n' not in process.error
