"""Preprocessings against the contract's pixels and against NumPy."""

import io
import json
import math
import pathlib
import resource
import zlib

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from preprocessing import (
  airbench_preprocessing,
  decoding,
  imagenet_preprocessing,
  inception_preprocessing,
  random_ops,
  vgg_preprocessing,
)
from preprocessing.preprocessing_factory import (
  PREPROCESSINGS,
  get_preprocessing,
  get_spec,
)
from tf_compat import few_runs, tf

GOLDEN = json.loads(
  (
    pathlib.Path(__file__).parents[1] / 'golden' / 'preprocessing.json'
  ).read_text()
)
# Width of each preprocessing's output range; the contract's tolerance is 2e-3 of it.
RANGE = {
  'airbench': 4.1,
  'inception': 2.0,
  'vgg': 255.0,
  'cifarnet': 4.0,
  'lenet': 2.0,
  'imagenet': 4.5,
}
SEEDS = [[7, n] for n in range(24)]


@pytest.fixture(scope='module')
def photo() -> np.ndarray:
  """Returns the contract's image, [231, 317, 3]."""
  blocks = np.random.default_rng(zlib.crc32(b'photo')).integers(
    0, 256, (12, 16, 3)
  )
  image = np.kron(blocks.astype(np.uint8), np.ones((20, 20, 1), np.uint8))
  return image[:231, :317]


def smooth_photo(height=120, width=170, channels=3) -> np.ndarray:
  """Returns an image without edges, in which every pixel differs."""
  rows, columns = np.mgrid[:height, :width]
  image = np.stack([rows * 255 / height, columns * 255 / width, rows + columns])
  return image.transpose(1, 2, 0).clip(0, 255).astype(np.uint8)[..., :channels]


def encode(image: np.ndarray, form: str) -> bytes:
  file = io.BytesIO()
  Image.fromarray(image.squeeze()).save(file, form)
  return file.getvalue()


def run(tensors):
  with tf.Session(config=few_runs()) as session:
    return session.run(tensors)


def draws(fn, seed):
  """Returns the random numbers of `finish` for one record."""
  units = random_ops.units(seed, 'finish', 1, len(fn.steps.draws))[0]
  return {
    name: low + units[index] * (high - low)
    for index, (name, (low, high)) in enumerate(fn.steps.draws.items())
  }


def train_many(name, image, height, width, seeds=SEEDS, **options):
  """Returns the training preprocessing's output for each seed, as one array."""
  fn = get_preprocessing(name, is_training=True, **options)
  return run(
    tf.map_fn(
      lambda seed: fn(tf.constant(image), height, width, seed=seed),
      tf.constant(seeds, tf.int64),
      dtype=tf.float32,
    )
  )


@pytest.mark.parametrize('key', GOLDEN)
@pytest.mark.usefixtures('graph')
def test_evaluation_preprocessings_agree_with_the_original(key, photo):
  name, size = key.split('@')
  golden = GOLDEN[key]
  image = photo[..., : golden['channels']]
  fn = get_preprocessing(name, is_training=False)
  result = fn(tf.constant(image), int(size), int(size))
  assert result.shape.as_list() == golden['shape']
  pixels = run(result)
  tolerance = 2e-3 * RANGE[name]
  assert pixels.mean() == pytest.approx(golden['mean'], abs=tolerance)
  assert pixels.std() == pytest.approx(golden['std'], abs=tolerance)
  for position, expected in golden['pixels'].items():
    row, column = map(int, position.split(','))
    np.testing.assert_allclose(pixels[row, column], expected, atol=tolerance)


def test_every_preprocessing_has_a_golden():
  """All of TF-Slim's; the others are computed by Pillow and NumPy below."""
  golden = {key.split('@')[0] for key in GOLDEN}
  assert golden == set(PREPROCESSINGS) - {'airbench', 'imagenet'}
  assert set(RANGE) == set(PREPROCESSINGS)


def test_unknown_preprocessing_names_what_exists():
  with pytest.raises(UserError, match=r"'inceptoin'.*mean 'inception'.*lenet"):
    get_preprocessing('inceptoin')


@pytest.mark.parametrize('name', PREPROCESSINGS)
@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.usefixtures('graph')
def test_one_and_three_channels_of_any_size(name, is_training, channels):
  fn = get_preprocessing(name, is_training)
  images = [
    smooth_photo(height, width, channels)
    for height, width in [(120, 170), (40, 28), (300, 280)]
  ]
  results = [fn(tf.constant(image), 64, 48) for image in images]
  # Static shapes do not depend on knowing the image's height and width.
  unknown = tf.placeholder_with_default(images[0], [None, None, channels])
  results.append(fn(unknown, 300, 300))
  assert results[0].shape.as_list() == [64, 48, channels]
  assert results[-1].shape.as_list() == [300, 300, channels]
  for value in run(results):
    assert value.dtype == np.float32
    assert np.isfinite(value).all()
    assert value.std() > 0.01


@pytest.mark.parametrize(
  ('name', 'fast'),
  [
    *[(name, False) for name in PREPROCESSINGS],
    ('inception', True),
    ('vgg', True),
  ],
)
@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize(
  ('form', 'channels'),
  [('JPEG', 3), ('JPEG', 1), ('PNG', 3), ('PNG', 1), ('BMP', 3), ('GIF', 1)],
)
@pytest.mark.usefixtures('graph')
def test_encoded_form_equals_decoding_first(
  name, fast, is_training, form, channels
):
  encoded = tf.constant(encode(smooth_photo(), form))
  fn = get_preprocessing(name, is_training, fast=fast)
  seed = tf.constant([3, 5], tf.int64)
  from_bytes = fn.from_encoded(encoded, 64, 56, channels, seed=seed)
  image = tf.image.decode_image(encoded, expand_animations=False)
  image.set_shape([None, None, 3])
  if channels == 1:
    # The decoders of JPEG and PNG have their own luma formulas.
    image = decoding.decode(encoded, 1)
  if form == 'JPEG' and fast and (is_training or name == 'vgg'):
    image = tf.image.decode_jpeg(encoded, channels, fancy_upscaling=False)
  from_pixels = fn(image, 64, 56, seed=seed)
  assert from_bytes.shape.as_list() == [64, 56, channels]
  first, second = run([from_bytes, from_pixels])
  # Compiling or constant folding changes the order of sums.
  np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * RANGE[name])


@pytest.mark.parametrize('name', PREPROCESSINGS)
@pytest.mark.usefixtures('graph')
def test_use_grayscale_gives_the_luma(name):
  image = smooth_photo()
  luma = image.astype(np.float32) @ np.float32([0.2989, 0.587, 0.114])
  luma = luma.astype(np.uint8)[..., np.newaxis]
  gray = get_preprocessing(name, use_grayscale=True)
  plain = get_preprocessing(name)
  first, second = run(
    [gray(tf.constant(image), 64, 64), plain(tf.constant(luma), 64, 64)]
  )
  assert first.shape == (64, 64, 1)
  np.testing.assert_allclose(first, second, atol=RANGE[name] * 3 / 255)


@pytest.mark.parametrize('name', PREPROCESSINGS)
@pytest.mark.usefixtures('graph')
def test_random_numbers_follow_from_the_seed_alone(name):
  image = smooth_photo()
  once = train_many(name, image, 40, 40, SEEDS[:6])
  again = train_many(name, image, 40, 40, SEEDS[:6][::-1])[::-1]
  np.testing.assert_array_equal(once, again)
  if name != 'lenet':
    assert len({picture.tobytes() for picture in once}) == 6


def test_without_a_seed_the_graph_seed_decides():
  def draw(seed):
    with tf.Graph().as_default():
      tf.set_random_seed(seed)
      fn = get_preprocessing('cifarnet', is_training=True)
      result = fn(tf.constant(smooth_photo()), 32, 32)
      with tf.Session(config=few_runs()) as session:
        return [session.run(result) for _ in range(2)]

  first, second = draw(4), draw(4)
  np.testing.assert_array_equal(first, second)
  assert not np.array_equal(first[0], first[1])
  assert not np.array_equal(first[0], draw(5)[0])


@pytest.mark.usefixtures('graph')
def test_cifarnet_distorts_standardized_crops_of_the_padded_image():
  """Each result is a window of the padded image, up to an affine map."""
  # From mid-gray up, so that no crop is as dark as the padding.
  image = np.random.default_rng(0).integers(60, 250, (32, 32, 3), np.uint8)
  padded = np.pad(image.astype(np.float32), [(4, 4), (4, 4), (0, 0)])
  positions, mirrored = set(), set()
  for result in train_many('cifarnet', image, 32, 32):
    np.testing.assert_allclose(result.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(result.std(), 1, atol=1e-4)
    # Contrast and brightness move each channel by its own constant only.
    matches = [
      (top, left, flipped)
      for top in range(9)
      for left in range(9)
      for flipped in (False, True)
      if _channels_correlate(
        result, _window(padded, top, left, 32, 32, flipped)
      )
    ]
    assert len(matches) == 1
    positions.add(matches[0][:2])
    mirrored.add(matches[0][2])
  assert len(positions) > 10
  assert mirrored == {False, True}


@pytest.mark.usefixtures('graph')
def test_vgg_training_is_a_window_of_the_resized_image_minus_the_mean():
  # A linear image stays linear when resized: its slope reveals the shorter
  # side, its offset the position, its sign the flip.
  rows, columns = np.mgrid[:200, :300].astype(np.float32)
  image = np.stack([rows, columns * 0.8, rows * 0], -1).astype(np.uint8)
  results = train_many('vgg', image, 224, 224)
  results += np.float32([123.68, 116.78, 103.94])
  sides, flips = [], []
  for result in results:
    middle = result[20:-20, 20:-20]
    slope = np.polyfit(np.arange(len(middle)), middle[..., 0].mean(1), 1)[0]
    across = np.polyfit(np.arange(len(middle)), middle[..., 1].mean(0), 1)[0]
    sides.append(200 / slope)
    flips.append(across < 0)
    assert abs(abs(across) / slope - 0.8) < 0.02
    assert result.min() >= -1e-3
    assert result.max() <= 255.001
    assert np.abs(result[..., 2]).max() < 1e-3
  assert 250 < min(sides) < 320
  assert 440 < max(sides) < 520
  assert set(flips) == {False, True}


@pytest.mark.usefixtures('graph')
def test_vgg_subtracts_the_mean_luma_from_one_channel():
  image = np.full((256, 256, 1), 200, np.uint8)
  result = run(get_preprocessing('vgg')(tf.constant(image), 224, 224))
  np.testing.assert_allclose(result, 200 - 117.3669, atol=1e-3)


@pytest.mark.parametrize(
  ('height', 'width', 'expected'),
  [
    (224, 224, (256, 512)),
    (96, 160, (256, 512)),
    (256, 256, (256, 512)),
    (299, 299, (342, 683)),
    (224, 448, (512, 1024)),
  ],
)
def test_vgg_sides_grow_with_crops_that_do_not_fit(height, width, expected):
  assert vgg_preprocessing.sides(height, width) == expected


@pytest.mark.parametrize(
  'form', [{}, {'fast_mode': False}, {'fast': True}], ids=str
)
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.usefixtures('graph')
def test_inception_distorts_within_its_range(form, channels):
  image = np.random.default_rng(1).integers(0, 256, (90, 120, channels))
  results = train_many('inception', image.astype(np.uint8), 48, 40, **form)
  assert results.min() >= -1
  assert results.max() <= 1
  assert len({picture.tobytes() for picture in results}) == len(SEEDS)


@pytest.mark.usefixtures('graph')
def test_inception_windows_respect_their_bounds_and_the_box():
  size, box = [90, 120], [0.5, 0.5, 0.6, 0.6]
  windows, boxed = run(
    [
      tf.map_fn(
        lambda seed, bbox=bbox: inception_preprocessing.sample_window(
          tf.constant(size), seed, bbox
        ),
        tf.constant([[1, n] for n in range(200)], tf.int64),
        dtype=tf.int32,
      )
      for bbox in (None, tf.constant([[box]]))
    ]
  )
  top, left, height, width = windows.T
  assert (top >= 0).all()
  assert (left >= 0).all()
  assert (top + height <= 90).all()
  assert (left + width <= 120).all()
  area = height * width / (90 * 120)
  # Rounding may cost a pixel on each side. A window must also cover a tenth of
  # the box, which is the full image here.
  assert 0.09 < area.min() < 0.3
  assert 0.7 < area.max() <= 1
  ratio = width / height
  assert 0.7 < ratio.min() < 0.85
  assert 1.2 < ratio.max() < 1.4
  top, left, height, width = boxed.T
  overlap = (np.minimum(top + height, 54) - np.maximum(top, 45)).clip(0) * (
    np.minimum(left + width, 72) - np.maximum(left, 60)
  ).clip(0)
  assert (overlap >= 0.1 * 9 * 12 - 6).all()


@pytest.mark.usefixtures('graph')
def test_inception_recolors_as_numpy_does():
  """Recomputes brightness and contrast of one channel in NumPy."""
  image = np.random.default_rng(2).uniform(0, 1, (16, 16, 1))
  image = image.astype(np.float32)
  seed = tf.constant([9, 9], tf.int64)
  delta = random_ops.uniform(seed, 'brightness', -32 / 255, 32 / 255)
  factor = random_ops.uniform(seed, 'contrast', 0.5, 1.5)
  for order in inception_preprocessing.ORDERS:
    got, delta_, factor_ = run(
      [
        inception_preprocessing._recolor(tf.constant(image), order, seed),
        delta,
        factor,
      ]
    )
    expected = image
    for name in order:
      if name == 'brightness':
        expected = expected + delta_
      if name == 'contrast':
        mean = expected.mean()
        expected = (expected - mean) * factor_ + mean
    np.testing.assert_allclose(got, expected.clip(0, 1), atol=1e-5)


@pytest.mark.usefixtures('graph')
def test_inception_training_agrees_with_tf_image():
  """Applies the operations of TF-Slim's own graph one by one."""
  rng = np.random.default_rng(3)
  image = rng.integers(0, 256, (60, 50, 3)).astype(np.uint8)
  image[:20] = image[:20, :, :1]  # grays,
  image[20:30] //= 16  # blacks,
  image[30:40] = 255 - image[30:40] // 16  # and whites
  for number in range(6):
    seed = tf.constant([number, 1], tf.int64)
    expected = tf.image.convert_image_dtype(tf.constant(image), tf.float32)
    expected = tf.image.resize_images(expected, [48, 40])
    fn = get_preprocessing('inception', is_training=True)
    draw = draws(fn, seed)
    flipped = tf.where(draw['flip'] < 0.5, expected[:, ::-1], expected)
    expected = tf.image.adjust_brightness(flipped, draw['brightness'])
    expected = tf.image.adjust_saturation(expected, draw['saturation'])
    expected = tf.clip_by_value(expected, 0.0, 1.0)
    resized = tf.image.resize_images(tf.constant(image), [48, 40])
    got = fn._finish(resized[tf.newaxis], seed)[0]
    first, second, pixels = run([got, (expected - 0.5) * 2, flipped])
    # tf.image loses colors that differ only by a rounding error.
    difference = np.abs(pixels - np.roll(pixels, 1, -1))
    clear = ((difference == 0) | (difference > 1e-6)).all(-1)
    assert clear.mean() > 0.9
    np.testing.assert_allclose(first[clear], second[clear], atol=2e-5)


@pytest.mark.parametrize('size', [(48, 40), (15, 15)])
@pytest.mark.usefixtures('graph')
def test_the_affine_colors_are_the_documented_map(size):
  image = np.random.default_rng(4).integers(60, 200, (*size, 3))
  image = image.astype(np.uint8)
  seed = tf.constant([9, 4], tf.int64)
  fn = get_preprocessing('inception', is_training=True, fast=True)
  got, draw = run(
    [
      fn._finish(tf.constant(image[np.newaxis], tf.float32), seed)[0],
      draws(fn, seed),
    ]
  )
  x = (image[:, ::-1] if draw['flip'] < 0.5 else image) / 255
  luma = x @ [[0.299], [0.587], [0.114]]
  sampled = np.s_[::8, -1::-8] if draw['flip'] < 0.5 else np.s_[::8, ::8]
  x = draw['saturation'] * x + (1 - draw['saturation']) * luma
  # Rodrigues' formula, on vectors.
  angle, axis = 2 * np.pi * draw['hue'], np.full(3, 3**-0.5)
  x = (
    x * np.cos(angle)
    + np.cross(axis, x) * np.sin(angle)
    + (x @ axis)[..., None] * axis * (1 - np.cos(angle))
  )
  mean = x[sampled].mean((0, 1))
  x = (x - mean) * draw['contrast'] + mean + draw['brightness']
  np.testing.assert_allclose(got, x.clip(0, 1) * 2 - 1, atol=1e-5)


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize(
  ('size', 'crop'),
  [
    ((375, 500), (224, 224)),
    ((500, 333), (224, 192)),
    ((97, 64), (224, 224)),  # enlarged
    ((256, 256), (256, 256)),
    ((40, 900), (33, 48)),
    ((3, 200), (224, 224)),
    ((1, 2), (299, 299)),
  ],
)
@pytest.mark.usefixtures('graph')
def test_vgg_equals_a_crop_of_the_resized_image(size, crop, is_training):
  """Follows TF-Slim: resize_bilinear of the full image, then a crop."""
  image = np.random.default_rng(5).integers(0, 256, (*size, 3), np.uint8)
  fn = get_preprocessing('vgg', is_training)
  low, high = vgg_preprocessing.sides(*crop)
  for seed in SEEDS[:6] if is_training else SEEDS[:1]:
    seed = tf.constant(seed, tf.int64)
    side = random_ops.uniform(seed, 'side', low, high + 1, tf.int32)
    side = side if is_training else tf.constant(low)
    target = np.rint(np.divide(size, min(size)) * run(side)).astype(np.int32)
    room = [int(n) for n in target - crop + 1]
    top = random_ops.uniform(seed, 'crop_y', 0, room[0], tf.int32)
    left = random_ops.uniform(seed, 'crop_x', 0, room[1], tf.int32)
    resized = tf.image.resize_bilinear(image[np.newaxis], target)[0]
    got, resized, top, left, draw = run(
      [
        fn(tf.constant(image), *crop, seed=seed),
        resized,
        top if is_training else (room[0] - 1) // 2 + tf.constant(0),
        left if is_training else (room[1] - 1) // 2 + tf.constant(0),
        draws(fn, seed) if is_training else {'flip': tf.constant(1.0)},
      ]
    )
    expected = resized[top : top + crop[0], left : left + crop[1]]
    expected = expected[:, ::-1] if draw['flip'] < 0.5 else expected
    expected = expected - np.float32([123.68, 116.78, 103.94])
    np.testing.assert_allclose(got, expected, atol=0.05)


@pytest.mark.parametrize('name', ['vgg', 'imagenet'])
@pytest.mark.parametrize('size', [(1, 100_000), (60_000, 2), (1, 20_000_000)])
@pytest.mark.usefixtures('graph')
def test_only_the_crop_of_a_strip_is_resized(name, size):
  """All of it would have 77 GB."""
  image = tf.fill([*size, 3], tf.constant(200, tf.uint8))
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  got = run(get_preprocessing(name)(image, 224, 224))
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert got.shape == (224, 224, 3)
  shown = PREPROCESSINGS[name].visible(got)
  np.testing.assert_allclose(shown, 200 / 255, rtol=1e-4)
  assert peak - before < 300_000


@pytest.mark.usefixtures('graph')
def test_fast_vgg_crops_within_a_pixel_of_the_preprocessing():
  image = smooth_photo(375, 500)
  plain, fast = run(
    [
      get_preprocessing('vgg', fast=fast)(tf.constant(image), 224, 224)
      for fast in (False, True)
    ]
  )
  # A pixel of the photo is a gray level here, or half of one.
  np.testing.assert_allclose(fast, plain, atol=2)
  size = tf.constant([375, 500])
  windows = [vgg_preprocessing.central_window(size, (224, 224))]
  windows += [
    vgg_preprocessing.random_window(
      size, tf.constant(seed, tf.int64), (224, 224)
    )
    for seed in SEEDS
  ]
  central, *others = run(windows)
  np.testing.assert_array_equal(central, [23, 86, 328, 328])
  for top, left, height, width in others:
    assert height == width
    assert 375 * 224 // 512 <= height <= 328
    assert 0 <= top <= 375 - height
    assert 0 <= left <= 500 - width


METHODS = {
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise_photo(height, width) -> np.ndarray:
  """Returns noise that no kernel makes brighter than 255 or darker than 0."""
  rng = np.random.default_rng(6)
  return rng.integers(80, 176, (height, width, 3), np.uint8)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(
  ('image', 'crop', 'fraction'),
  [
    (smooth_photo(375, 500), 224, 0.875),
    (smooth_photo(211, 160), 299, 0.95),  # enlarged
    (noise_photo(375, 500), 224, 0.875),
    (noise_photo(501, 333), 225, 0.9),
    (noise_photo(97, 64), 224, 1.0),
    (noise_photo(40, 900), 33, 0.875),
  ],
  ids=lambda value: str(getattr(value, 'shape', value)),
)
@pytest.mark.usefixtures('graph')
def test_imagenet_is_a_crop_of_pillows_resized_image(
  image, crop, fraction, method
):
  """Follows torchvision's Resize, CenterCrop, ToTensor and Normalize."""
  name = f'imagenet(crop_fraction={fraction}, interpolation={method!r})'
  got = run(get_preprocessing(name)(tf.constant(image), crop, crop))
  height, width = image.shape[:2]
  side = math.floor(crop / fraction)
  size = side, int(side * width / height)
  if height > width:
    size = int(side * height / width), side
  resized = Image.fromarray(image).resize(size[::-1], METHODS[method])
  top, left = (round((side - crop) / 2) for side in size)
  window = np.asarray(resized, np.float64)[top : top + crop, left : left + crop]
  expected = (window / 255 - MEAN) / STD
  # Pillow rounds twice, after it has resized each side.
  np.testing.assert_allclose(got * STD, expected * STD, atol=1.5 / 255)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.usefixtures('graph')
def test_imagenet_training_is_a_resized_crop(method):
  image = smooth_photo(150, 200)
  fn = get_preprocessing(
    f'imagenet(interpolation={method!r})', is_training=True
  )
  seed = tf.placeholder(tf.int64, [2])
  drawn = (
    fn(tf.constant(image), 64, 64, seed=seed),
    imagenet_preprocessing.sample_window(tf.constant([150, 200]), seed),
    draws(fn, seed)['flip'] < 0.5,
  )
  flips = set()
  with tf.Session(config=few_runs()) as session:
    for number in SEEDS[:8]:
      got, window, flip = session.run(drawn, {seed: number})
      top, left, height, width = window
      crop = Image.fromarray(image[top : top + height, left : left + width])
      expected = np.asarray(crop.resize((64, 64), METHODS[method])) / 255
      expected = expected[:, ::-1] if flip else expected
      np.testing.assert_allclose(got * STD + MEAN, expected, atol=1.5 / 255)
      flips.add(bool(flip))
  assert flips == {False, True}


def torchvision_window(height, width, rng) -> tuple[int, int, int, int]:
  """Returns top, left, height and width as RandomResizedCrop.get_params."""
  for _ in range(10):
    area = height * width * rng.uniform(0.08, 1)
    ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < w <= width and 0 < h <= height:
      top = rng.integers(0, height - h + 1)
      return top, rng.integers(0, width - w + 1), h, w
  w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
  return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
  'size', [(375, 500), (300, 300), (500, 90), (1, 300), (60, 2), (1, 1)]
)
@pytest.mark.usefixtures('graph')
def test_imagenet_draws_windows_as_torchvision_does(size):
  """Compares bounds, and deciles of area, ratio and position."""
  count = 1500
  windows = run(
    tf.map_fn(
      lambda seed: imagenet_preprocessing.sample_window(
        tf.constant(size), seed
      ),
      tf.constant([[5, n] for n in range(count)], tf.int64),
      dtype=tf.int32,
    )
  )
  assert (windows[:, :2] >= 0).all()
  assert (windows[:, 2:] >= 1).all()
  assert (windows[:, :2] + windows[:, 2:] <= size).all()
  rng = np.random.default_rng(7)
  reference = np.array([torchvision_window(*size, rng) for _ in range(count)])

  def deciles(windows):
    top, left, height, width = windows.T
    measures = [
      height * width / (size[0] * size[1]),
      width / height,
      (top + height / 2) / size[0],
      (left + width / 2) / size[1],
    ]
    return np.percentile(measures, np.arange(10, 100, 10), 1)

  np.testing.assert_allclose(deciles(windows), deciles(reference), atol=0.06)


@pytest.mark.usefixtures('graph')
def test_imagenet_takes_mean_and_deviation():
  image = tf.fill([64, 64, 3], tf.constant(51, tf.uint8))
  gray = tf.fill([64, 64, 1], tf.constant(51, tf.uint8))
  fn = get_preprocessing('imagenet(mean=(0, 0.1, 0.2), std=[0.1, 0.2, 1])')
  color, luma = run([fn(image, 32, 32), fn(gray, 32, 32)])
  np.testing.assert_allclose(color[5, 5], [2, 0.5, 0], atol=1e-6)
  mean, std = 0.0587 + 0.0228, 0.02989 + 0.1174 + 0.114
  np.testing.assert_allclose(luma[5, 5], (0.2 - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
  ('text', 'spelled'),
  [
    ('imagenet', 'imagenet'),
    ('imagenet()', 'imagenet'),
    ('imagenet(crop_fraction=0.875, mean=[0.485, 0.456, 0.406])', 'imagenet'),
    (
      "imagenet(interpolation='bicubic', crop_fraction=1.0)",
      "imagenet(crop_fraction=1.0, interpolation='bicubic')",
    ),
    ('imagenet(std=[1, 1, 1])', 'imagenet(std=(1.0, 1.0, 1.0))'),
    ('vgg', 'vgg'),
  ],
)
def test_a_preprocessing_is_spelled_in_one_way(text, spelled):
  preprocessing = get_spec(text)
  assert str(preprocessing) == str(get_spec(spelled)) == spelled


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('imagenet(crop_fraction=1.5)', r'crop_fraction=1.5 .*from 0.01 to 1\.'),
    ('imagenet(crop_fraction=True)', 'crop_fraction=True'),
    ('imagenet(mean=0.5)', r'mean=0.5 .*three numbers from 0 to 1'),
    ('imagenet(mean=(124, 117, 104))', r'mean=\(124, 117, 104\) .*three numb'),
    ('imagenet(std=(0.2, 0.2, 0.0))', r'std=.* three numbers from 0.001 to 1'),
    ("imagenet(interpolation='area')", "one of 'bilinear', 'bicubic'"),
    ('imagenet(crop=0.9)', r"no option 'crop'.*imagenet\(crop_fraction=0.875,"),
    ('vgg(crop_fraction=0.9)', "vgg has no options: leave out 'crop_fraction'"),
    ('imagenet(0.9)', r"Cannot read 'imagenet\(0.9\)'"),
  ],
)
def test_wrong_options_of_a_preprocessing_are_refused(text, message):
  with pytest.raises(UserError, match=message):
    get_spec(text)


@pytest.mark.usefixtures('graph')
def test_central_window_is_tf_image_central_crop():
  for height, width in [(231, 317), (224, 224), (9, 500)]:
    image = tf.constant(np.arange(height * width).reshape(height, width, 1))
    window = inception_preprocessing.central_window(tf.shape(image)[:2])
    first, second = run(
      [decoding.crop(image, window), tf.image.central_crop(image, 0.875)]
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize('size', [(31, 28), (12, 50), (9, 8), (20, 21)])
@pytest.mark.usefixtures('graph')
def test_crop_or_pad_agrees_with_tf_image(size):
  image = tf.constant(smooth_photo(*size))
  first, second = run(
    [
      decoding.crop_or_pad(image, 20, 21),
      tf.image.resize_with_crop_or_pad(image, 20, 21),
    ]
  )
  np.testing.assert_array_equal(first, second)


@pytest.mark.usefixtures('graph')
def test_cropping_while_decoding_equals_cropping_after():
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (121, 173, 3)).astype(np.uint8)
  windows = [[0, 0, 121, 173], [7, 13, 60, 51], [120, 172, 1, 1]]
  for _ in range(30):
    top, left = rng.integers(0, 121), rng.integers(0, 173)
    height, width = rng.integers(1, 122 - top), rng.integers(1, 174 - left)
    windows.append([top, left, height, width])
  window = tf.placeholder(tf.int32, [4])
  for image, subsampling in [(noise, 2), (noise, 1), (noise, 0)]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', subsampling=subsampling)
    encoded = tf.constant(file.getvalue())
    during = decoding.EncodedImage(encoded, 3).crop(window)
    after = decoding.crop(decoding.decode(encoded, 3), window)
    with tf.Session(config=few_runs()) as session:
      for position in windows:
        first, second = session.run([during, after], {window: position})
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'BMP', 'GIF'])
@pytest.mark.parametrize('gray', [False, True])
@pytest.mark.usefixtures('graph')
def test_any_format_decodes_to_the_requested_channels(form, channels, gray):
  image = smooth_photo(channels=3)
  if gray:
    image = image[..., :1]
  pixels = run(decoding.decode(tf.constant(encode(image, form)), channels))
  assert pixels.dtype == np.uint8
  expected = image.astype(np.float32)
  if channels == 1 and not gray:
    expected = expected @ np.float32([[0.299], [0.587], [0.114]])
  assert pixels.shape == (120, 170, channels)
  # GIFs have few colors and JPEGs lose some; neither changes the mean.
  np.testing.assert_allclose(pixels - expected, 0, atol=40)
  np.testing.assert_allclose(np.mean(pixels - expected), 0, atol=3)


def _window(image, top, left, height, width, flipped):
  window = image[top : top + height, left : left + width]
  return window[:, ::-1] if flipped else window


def _channels_correlate(first, second):
  """Whether each channel is an affine map of the other image's channel."""
  return all(
    np.corrcoef(first[..., c].ravel(), second[..., c].ravel())[0, 1] > 0.9999
    for c in range(first.shape[2])
  )


@pytest.mark.parametrize('name', PREPROCESSINGS)
@pytest.mark.parametrize('color', [(200, 100, 50), (90,)])
@pytest.mark.usefixtures('graph')
def test_visible_inverts_the_preprocessing(name, color):
  """Checks the pixels, or their order where the preprocessing loses the scale."""
  image = np.zeros((40, 40, len(color)), np.uint8)
  image[19:] = color
  fn = get_preprocessing(name)
  shown = PREPROCESSINGS[name].visible(run(fn(tf.constant(image), 40, 40)))
  expected = image / 255 / (image.max() / 255 if name == 'cifarnet' else 1)
  # The crop of VGG's preprocessing has 40 of 256 pixels: those around the edge.
  np.testing.assert_allclose(shown[-1, 20], expected[-1, 20], atol=1e-5)
  np.testing.assert_allclose(shown[0, 20], 0, atol=1e-5)


@pytest.mark.usefixtures('graph')
def test_airbench_moves_flips_and_normalizes():
  """Each result is one of the 25 places and two directions, all of them drawn."""
  image = np.random.default_rng(3).integers(0, 256, (12, 12, 3), np.uint8)
  colors = airbench_preprocessing.COLORS
  normal = (image / 255 - colors.mean) / colors.std
  evaluation = get_preprocessing('airbench', is_training=False)
  shown = run(evaluation(tf.constant(image), 12, 12))
  np.testing.assert_allclose(shown, normal, atol=1e-5)
  padded = np.pad(normal, [(2, 2), (2, 2), (0, 0)], 'reflect')
  moved = [padded[y : y + 12, x : x + 12] for y in range(5) for x in range(5)]
  expected = np.array([*moved, *(one[:, ::-1] for one in moved)])
  seeds = [[7, n] for n in range(400)]
  results = train_many('airbench', image, 12, 12, seeds)
  differences = abs(results[:, None] - expected[None]).max((2, 3, 4))
  np.testing.assert_allclose(differences.min(1), 0, atol=1e-4)
  assert {*differences.argmin(1)} == {*range(50)}
