"""visualize_attention.py as a process."""


def test_a_picture_beside_the_checkpoint_and_lines_about_it(
  run, trained, tmp_path
):
  done = run(
    'visualize', checkpoint_path=trained / 'cbam', num_images=2,
    output_dir='out',
  )  # fmt: skip
  assert done.code == 0, done.stderr
  assert 'Grad-CAM and 2 spatial gates of 2 images in' in done.stderr
  assert (tmp_path / 'out' / 'attention.png').exists()
  assert (tmp_path / 'out' / '001_test_1' / 'arrays.npz').exists()


def test_a_mistake_takes_one_line(run, trained):
  done = run('visualize', checkpoint_path=trained / 'cbam', images='no.png')
  assert done.code == 2
  assert done.error.startswith('There is no image no.png')
  assert '\n' not in done.error
