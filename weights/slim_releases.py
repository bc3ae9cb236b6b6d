"""TF-Slim's published checkpoints, trained on ImageNet.

Addresses and accuracies on ImageNet's validation images, for a single crop, are
those of TF-Slim's README and of its pages on MobileNets and NASNets:
https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from registry import Table

_STORAGE = 'https://storage.googleapis.com/'
_MODELS = f'{_STORAGE}download.tensorflow.org/models/'


@dataclasses.dataclass(frozen=True)
class Release:
  """An entry of the table.

  Attributes:
    name: as the archive is called, without its ending.
    network: name of the network.
    url: address of the archive.
    accuracy: top-1 accuracy in percent, as published.
    image_size: height and width of the images, pixels; None for the network's.
    preprocessing: preprocessing, if it is not the network's.
    moving_averages: whether the published accuracy is of the weights' moving
      averages, which the checkpoint has beside the weights.
  """

  name: str
  network: str
  url: str
  accuracy: float
  image_size: int | None = None
  preprocessing: str | None = None
  moving_averages: bool = False


def _releases() -> Iterator[Release]:
  for network, date, accuracy in (
    ('inception_v1', '2016_08_28', 69.8),
    ('inception_v2', '2016_08_28', 73.9),
    ('inception_v3', '2016_08_28', 78.0),
    ('inception_v4', '2016_09_09', 80.2),
    ('inception_resnet_v2', '2016_08_30', 80.4),
    ('resnet_v1_50', '2016_08_28', 75.2),
    ('resnet_v1_101', '2016_08_28', 76.4),
    ('resnet_v1_152', '2016_08_28', 76.8),
    ('vgg_16', '2016_08_28', 71.5),
    ('vgg_19', '2016_08_28', 71.1),
  ):
    name = f'{network}_{date}'
    yield Release(name, network, f'{_MODELS}{name}.tar.gz', accuracy)
  for depth, accuracy in ((50, 75.6), (101, 77.0), (152, 77.8)):
    name = f'resnet_v2_{depth}_2017_04_14'
    yield Release(
      name,
      f'resnet_v2_{depth}',
      f'{_MODELS}{name}.tar.gz',
      accuracy,
      image_size=299,
      preprocessing='inception',
    )
  yield from _mobilenets()
  for name, network, accuracy in (
    ('nasnet-a_mobile_04_10_2017', 'nasnet_mobile', 74.0),
    ('nasnet-a_large_04_10_2017', 'nasnet_large', 82.7),
    ('pnasnet-5_mobile_2017_12_13', 'pnasnet_mobile', 74.2),
    ('pnasnet-5_large_2017_12_13', 'pnasnet_large', 82.9),
  ):
    yield Release(name, network, f'{_MODELS}{name}.tar.gz', accuracy)


def _mobilenets() -> Iterator[Release]:
  for multiplier, network, accuracies in (
    ('1.0', 'mobilenet_v1', (70.9, 70.0, 68.0, 65.2)),
    ('0.75', 'mobilenet_v1_075', (68.4, 67.2, 65.3, 62.1)),
    ('0.5', 'mobilenet_v1_050', (63.3, 61.7, 59.1, 56.3)),
    ('0.25', 'mobilenet_v1_025', (49.8, 47.7, 45.5, 41.5)),
  ):
    for size, accuracy in zip((224, 192, 160, 128), accuracies, strict=True):
      name = f'mobilenet_v1_{multiplier}_{size}'
      url = f'{_MODELS}mobilenet_v1_2018_08_02/{name}.tgz'
      yield Release(name, network, url, accuracy, size)
  for multiplier, network, accuracy in (
    ('1.4', 'mobilenet_v2_140', 74.9),
    ('1.0', 'mobilenet_v2', 71.9),
    ('0.35', 'mobilenet_v2_035', 60.3),
  ):
    name = f'mobilenet_v2_{multiplier}_224'
    url = f'{_STORAGE}mobilenet_v2/checkpoints/{name}.tgz'
    yield Release(name, network, url, accuracy, moving_averages=True)
  for kind, network, accuracy in (
    ('large', 'large', 75.2),
    ('small', 'small', 67.5),
    ('large-minimalistic', 'large_minimalistic', 72.3),
    ('small-minimalistic', 'small_minimalistic', 61.9),
  ):
    name = f'v3-{kind}_224_1.0_float'
    url = f'{_STORAGE}mobilenet_v3/checkpoints/{name}.tgz'
    yield Release(
      name, f'mobilenet_v3_{network}', url, accuracy, moving_averages=True
    )


RELEASES = Table('release of TF-Slim', _releases())
