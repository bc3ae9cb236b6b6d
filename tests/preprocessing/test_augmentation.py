"""Augmentations: pixel operations against Pillow, the rest against NumPy."""

import itertools
from typing import Annotated

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from errors import UserError
from preprocessing import augmentation, auto_augment, pixel_ops, random_ops
from preprocessing.augmentation import (
  AUGMENTATIONS,
  INPUT,
  PIXELS,
  Augmentation,
  get_augmentations,
)
from preprocessing.preprocessing_factory import (
  PREPROCESSINGS,
  get_preprocessing,
)
from registry import Rule, Table
from tf_compat import few_runs, tf

pytestmark = pytest.mark.usefixtures('graph')


def run(tensors):
  with tf.Session(config=few_runs()) as session:
    return session.run(tensors)


def for_seeds(function, dtypes, count=40):
  """Returns function(seed) for seeds [3, 0], [3, 1], …, as arrays."""
  seeds = tf.constant([[3, n] for n in range(count)], tf.int64)
  return run(tf.map_fn(function, seeds, dtype=dtypes))


def photo(channels=3) -> np.ndarray:
  """Returns gradients and noise [37, 52, C], without black and white."""
  rows, columns = np.mgrid[:37, :52]
  noise = np.random.default_rng(0).integers(0, 60, (37, 52, 3))
  image = np.stack([rows * 4, columns * 3, rows + columns], -1) + noise + 20
  image = image.clip(0, 240).astype(np.uint8)
  return image if channels == 3 else image[..., :1]


def shift(image, matrix):
  return image.transform(image.size, Image.AFFINE, matrix, fillcolor=FILL)


FILL = (128, 128, 128)
# name: (arguments, the same operation of Pillow)
BY_PILLOW = {
  'identity': ([], lambda image: image),
  'autocontrast': ([], ImageOps.autocontrast),
  'equalize': ([], ImageOps.equalize),
  'invert': ([], ImageOps.invert),
  'solarize': ([140.0], lambda image: ImageOps.solarize(image, 140)),
  'posterize': ([3], lambda image: ImageOps.posterize(image, 3)),
  'color': ([0.3], lambda image: ImageEnhance.Color(image).enhance(0.3)),
  'contrast': ([1.8], lambda image: ImageEnhance.Contrast(image).enhance(1.8)),
  'brightness': (
    [1.7],
    lambda image: ImageEnhance.Brightness(image).enhance(1.7),
  ),
  'sharpness': (
    [1.9],
    lambda image: ImageEnhance.Sharpness(image).enhance(1.9),
  ),
  'rotate': ([25.0], lambda image: image.rotate(25, fillcolor=FILL)),
  'shear_x': ([0.23], lambda image: shift(image, (1, 0.23, 0, 0, 1, 0))),
  'shear_y': ([-0.23], lambda image: shift(image, (1, 0, 0, -0.23, 1, 0))),
  'translate_x': ([0.25], lambda image: shift(image, (1, 0, 13, 0, 1, 0))),
  'translate_y': ([-1 / 37], lambda image: shift(image, (1, 0, 0, 0, 1, -1))),
}


def test_every_pixel_op_is_compared_with_pillow():
  assert {op.name for op in pixel_ops.PIXEL_OPS} == set(BY_PILLOW)


@pytest.mark.parametrize('name', BY_PILLOW)
def test_pixel_ops_agree_with_pillow(name):
  arguments, by_pillow = BY_PILLOW[name]
  image = photo()
  got = run(getattr(pixel_ops, name)(tf.constant(image), *arguments))
  expected = np.asarray(by_pillow(Image.fromarray(image)))
  assert got.dtype == np.uint8
  # Pillow computes in other precisions: a level or a pixel may differ.
  difference = np.abs(got.astype(int) - expected)
  assert (difference > 0).mean() < 0.01, difference.max()
  assert name in ('rotate', 'shear_x', 'shear_y') or difference.max() <= 1


@pytest.mark.parametrize('op', pixel_ops.PIXEL_OPS, ids=lambda op: op.name)
def test_pixel_ops_take_gray_and_flat_images_at_any_strength(op):
  images = [
    photo(1),
    np.full((9, 7, 3), 200, np.uint8),
    photo()[:1],
    photo()[:, :1],
  ]
  strengths = [(0.0, 1.0), (1.0, 1.0), (1.0, -1.0)]
  results = run(
    [
      op.apply(tf.constant(image), tf.constant(level), tf.constant(sign))
      for image, (level, sign) in itertools.product(images, strengths)
    ]
  )
  for result, image in zip(results, np.repeat(range(4), 3), strict=True):
    assert result.shape == images[image].shape
    assert result.dtype == np.uint8
  if op.name not in ('autocontrast', 'equalize', 'invert'):
    for index, image in enumerate(images):  # of strength 0
      np.testing.assert_array_equal(results[3 * index], image)


def test_randaugment_applies_the_operation_it_draws():
  """One layer is one of the operations, which are equally likely."""
  image = photo()

  def change(seed):
    index = random_ops.uniform(seed, 'randaugment_0', 0, 14, tf.int32)
    return auto_augment.randaugment(image, seed, layers=1, magnitude=9), index

  image = tf.constant(image)
  images, indices = for_seeds(change, (tf.uint8, tf.int32), 60)
  level, signs = tf.constant(0.9), (tf.constant(-1.0), tf.constant(1.0))
  possible = run(
    [[op.apply(image, level, s) for s in signs] for op in pixel_ops.PIXEL_OPS]
  )
  for got, index in zip(images, indices, strict=True):
    assert any(np.array_equal(got, one) for one in possible[index])
  assert len(set(indices)) > 10


def test_layers_are_independent_and_magnitude_changes_the_image():
  def draw(layers, magnitude):
    image = tf.constant(photo())
    return for_seeds(
      lambda seed: auto_augment.randaugment(
        image, seed, layers=layers, magnitude=magnitude
      ),
      tf.uint8,
      12,
    )

  one, two, weak = draw(1, 9), draw(2, 9), draw(1, 1)
  for other in (two, weak):
    same = [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]
    assert sum(same) < 9


def test_autoaugment_applies_a_sub_policy():
  image = tf.constant(photo())
  assert len(auto_augment.SUB_POLICIES) == 25
  ops = {op.name: op for op in pixel_ops.PIXEL_OPS}
  signs = (tf.constant(-1.0), tf.constant(1.0))

  def outcomes(image, steps):
    """Returns all images that a sub-policy may produce."""
    if not steps:
      return [image]
    (name, _, magnitude), *rest = steps
    level = tf.constant(magnitude / 9, tf.float32)
    changed = [ops[name].apply(image, level, sign) for sign in signs]
    return [end for one in (image, *changed) for end in outcomes(one, rest)]

  # Each image is checked against the sub-policy that its seed draws.
  def change(seed):
    row = random_ops.uniform(seed, 'autoaugment', 0, 25, tf.int32)
    return auto_augment.autoaugment(image, seed), row

  images, rows = for_seeds(change, (tf.uint8, tf.int32), 10)
  for got, row in zip(images, rows, strict=True):
    possible = run(outcomes(image, auto_augment.SUB_POLICIES[row]))
    assert any(np.array_equal(got, one) for one in possible)
  assert len(set(rows)) > 5


def test_cutout_is_a_square_around_any_pixel():
  images = for_seeds(
    lambda seed: get_augmentations('cutout(size=6)')(
      INPUT, tf.ones([20, 30, 3]), seed
    ),
    tf.float32,
    200,
  )
  erased = set()
  for image in images:
    rows, columns = np.nonzero(image[..., 0] == 0)
    assert (image[..., :1] == image).all()
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == height * width
    inside = rows.min() > 0 and rows.max() < 19
    assert height == 6 if inside else 3 <= height <= 6
    erased |= {*zip(rows, columns, strict=True)}
  assert len(erased) == 600  # Every pixel can be erased.


def test_random_erasing_is_a_rectangle_of_the_requested_area():
  text = 'random_erasing(probability=0.6, least_area=0.1, most_area=0.3)'
  images = for_seeds(
    lambda seed: get_augmentations(text)(INPUT, tf.ones([50, 80, 1]), seed),
    tf.float32,
    200,
  )
  areas, aspects = [], []
  for image in images:
    rows, columns = np.nonzero(image[..., 0] == 0)
    if len(rows):
      height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
      assert len(rows) == height * width
      areas.append(len(rows) / 4000)
      aspects.append(height / width)
  assert 100 < len(areas) < 140  # 120 of 200, and 3 standard deviations
  assert 0.08 < min(areas) < 0.15
  assert 0.25 < max(areas) <= 0.3
  assert min(aspects) < 0.5
  assert max(aspects) > 2


def test_mixup_and_cutmix_agree_with_numpy():
  rng = np.random.default_rng(1)
  images = rng.random((4, 12, 10, 3), np.float32)
  labels = np.eye(4, dtype=np.float32)
  shares = {'mixup': [], 'cutmix': []}
  for name, got in shares.items():
    mixed, targets = for_seeds(
      lambda seed, name=name: get_augmentations(name).mix(
        tf.constant(images), tf.constant(labels), seed
      ),
      (tf.float32, tf.float32),
    )
    for image, target in zip(mixed, targets, strict=True):
      share = target[0, 0]
      np.testing.assert_allclose(
        target, share * labels + (1 - share) * labels[::-1], atol=1e-6
      )
      if name == 'mixup':
        expected = share * images + (1 - share) * images[::-1]
        np.testing.assert_allclose(image, expected, atol=1e-6)
      else:
        other = (image == images[::-1]).all(-1)
        np.testing.assert_allclose(other.mean((1, 2)), 1 - share, atol=1e-6)
        assert ((image == images).all(-1) | other).all()
        rows, columns = np.nonzero(other[0])
        if len(rows):
          assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
      got.append(share)
  # Beta(0.2, 0.2) is mostly near 0 or 1; Beta(1, 1) is uniform.
  extreme = np.minimum(shares['mixup'], 1 - np.array(shares['mixup'])) < 0.1
  assert 0.4 < extreme.mean() < 1
  assert 0.3 < np.mean(shares['cutmix']) < 0.85


def test_mixup_draws_from_beta():
  shares = for_seeds(
    lambda seed: random_ops.beta(seed, 'mixup', 0.5), tf.float32, 2000
  )
  assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
  # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
  assert np.var(shares) == pytest.approx(1 / 8, abs=0.01)


def test_mixup_and_cutmix_together_alternate_at_random():
  images = tf.constant(
    np.random.default_rng(1).random((2, 8, 8, 1), np.float32)
  )
  mixes = for_seeds(
    lambda seed: get_augmentations('mixup,cutmix').mix(images, tf.eye(2), seed)[
      0
    ],
    tf.float32,
  )
  singles = [
    for_seeds(
      lambda seed, name=name: get_augmentations(name).mix(
        images, tf.eye(2), seed
      )[0],
      tf.float32,
    )
    for name in ('mixup', 'cutmix')
  ]
  by = [[np.array_equal(a, b) for a, b in zip(mixes, one, strict=True)]
        for one in singles]  # fmt: skip
  assert all(map(any, zip(*by, strict=True)))
  assert min(map(sum, by)) > 8


@pytest.mark.slow
@pytest.mark.parametrize('preprocessing', PREPROCESSINGS)
@pytest.mark.parametrize('name', [n for n in AUGMENTATIONS if 'mix' not in n])
def test_augmentations_extend_any_preprocessing_in_training_only(
  preprocessing, name
):
  image, seed = tf.constant(photo()), tf.constant([5, 5], tf.int64)

  def make(is_training, augment):
    fn = get_preprocessing(preprocessing, is_training, augment=augment)
    return fn(image, 33, 33, seed=seed)

  texts = (name, name, None)
  results = run(
    [
      *[make(True, text) for text in texts],
      *[make(False, text) for text in texts[1:]],
    ]
  )
  assert results[0].shape == (33, 33, 3)
  assert np.isfinite(results[0]).all()
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(results[3], results[4])


def test_pixel_operations_precede_the_preprocessing_and_erasing_follows_it():
  fn = get_preprocessing(
    'lenet', True, augment='cutout(size=200) + randaugment'
  )
  black = run(
    fn(tf.constant(photo()), 20, 20, seed=tf.constant([1, 1], tf.int64))
  )
  assert (black == 0).all()
  chosen = get_augmentations('cutout(size=3), randaugment(layers=1)')
  assert len(chosen.at(PIXELS)) == len(chosen.at(INPUT)) == 1


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('cutuot', r"Unknown augmentation 'cutuot'.*'cutout'.*Known: randaugment"),
    ('cutout(side=3)', r"cutout has no option 'side'.*size=16"),
    ('cutout(size=0)', r'size=0 of cutout must be a whole number from 1'),
    ('mixup(alpha=0)', r'alpha=0 of mixup must be a number above 0'),
    ('randaugment(magnitude=11)', r'magnitude=11 .* a number from 0 to 10'),
    ('cutout+cutout(size=3)', r'--augment names cutout twice'),
    ('mixup+', r"Cannot read ''"),
    ('cutout(size=3', r'Cannot read'),
  ],
)
def test_wrong_values_are_refused(text, message):
  with pytest.raises(UserError, match=message):
    get_augmentations(text)


def test_options_reach_the_function_in_canonical_form(monkeypatch):
  def fill(
    image,
    seed,
    *,
    value: Annotated[
      str,
      Rule(
        'black or white', lambda v: v.lower() in ('black', 'white'), str.lower
      ),
    ] = 'black',
  ):
    del seed
    return tf.fill(tf.shape(image), {'black': 0.0, 'white': 1.0}[value])

  table = Table('augmentation', [Augmentation('fill', INPUT, fill)])
  monkeypatch.setattr(augmentation, 'AUGMENTATIONS', table)
  augmentations = get_augmentations("fill(value='WHITE')")
  ((_, function),) = augmentations.chosen
  assert function.keywords == {'value': 'white'}
  seed = tf.constant([1, 1], tf.int64)
  assert (run(augmentations(INPUT, tf.zeros([2, 3, 1]), seed)) == 1).all()


def test_no_value_selects_no_augmentation():
  assert get_augmentations(None) == get_augmentations('')
  assert not get_augmentations(None).chosen
