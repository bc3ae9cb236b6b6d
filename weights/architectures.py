"""The table of other projects' architectures, and the network that each is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from registry import Table
from weights import layer_names
from weights.layer_names import LayerNames

IMAGENET = 'imagenet'
# Pixels from -1 to 1, cropped as timm does.
_HALF = 'mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)'
_KERAS_URL = 'https://storage.googleapis.com/tensorflow/keras-applications/'
_WITH_TOP = 'weights_tf_dim_ordering_tf_kernels'
# MobileNet v3's gates are relu6(x + 3) / 6, TF-Slim's relu6(x + 3) · 0.16667.
_SIXTH = {r'expanded_conv(_\d+)?/project': (1 / 6) / 0.16667}


@dataclasses.dataclass(frozen=True)
class Architecture:
  """An entry of the table: weights that fit a network.

  Attributes:
    name: project and the name it uses, such as 'keras:MobileNetV2'.
    network: the network that computes the same.
    layers: names of the layers.
    classifier: name of the layer that computes the logits.
    size: number of values in all layers but the classifier. It tells the
      architecture of a file that does not name it.
    preprocessing: what the published weights were trained with.
    image_size: height and width of the images they were trained with, pixels.
    epsilon: what the norms add to the variance.
    padding: how strided layers pad, one of nets.layers.PADDINGS.
    attention: attention module in the network, or None.
    bgr: whether the first layer takes blue, green, red.
    kernel_factors: pattern of our scopes -> factor of the kernel, where ours
      computes with another constant before it.
    url: address of weights that were trained on ImageNet, or None.
    md5: their checksum, if the authors publish one.
  """

  name: str
  network: str
  layers: LayerNames
  classifier: str
  size: int
  preprocessing: str
  image_size: int = 224
  epsilon: float = 1e-5
  padding: str = 'same'
  attention: str | None = None
  bgr: bool = False
  kernel_factors: Mapping[str, float] = dataclasses.field(default_factory=dict)
  url: str | None = None
  md5: str | None = None

  @property
  def family(self) -> str:
    """The kind of file: 'keras' or 'pytorch'."""
    return 'keras' if self.name.startswith('keras:') else 'pytorch'


def _keras(name: str, network: str, layers: LayerNames, size: int, **more):
  """Returns the entry of a network of keras.applications."""
  options = {'preprocessing': 'inception', 'epsilon': 1e-3, **more}
  options.setdefault('classifier', 'predictions')
  return Architecture(f'keras:{name}', network, layers, size=size, **options)


def _keras_resnets() -> Iterable[Architecture]:
  sizes = {
    50: (23587712, '2cb95161c43110f7111970584f804107'),
    101: (42658176, 'f1aeb4b969a6efcfb50fad2f0c20cfc5'),
    152: (58370944, '100835be76be38e30d865e96f2aaae62'),
  }
  for depth, (size, md5) in sizes.items():
    yield _keras(
      f'ResNet{depth}',
      f'resnet_v1a_{depth}',
      layer_names.keras_resnet_v1(),
      size,
      preprocessing='vgg',
      epsilon=1.001e-5,
      padding='symmetric',
      bgr=True,
      url=f'{_KERAS_URL}resnet/resnet{depth}_{_WITH_TOP}.h5',
      md5=md5,
    )
  sizes = {
    50: (23564800, '3ef43a0b657b3be2300d5770ece849e0'),
    101: (42626560, '6343647c601c52e1368623803854d971'),
    152: (58331648, 'a49b44d1979771252814e80f8ec446f9'),
  }
  for depth, (size, md5) in sizes.items():
    yield _keras(
      f'ResNet{depth}V2',
      f'resnet_v2_{depth}',
      layer_names.keras_resnet_v2(),
      size,
      epsilon=1.001e-5,
      padding='symmetric',
      url=f'{_KERAS_URL}resnet/resnet{depth}v2_{_WITH_TOP}.h5',
      md5=md5,
    )


def _keras_mobilenets() -> Iterable[Architecture]:
  for suffix, network, size, file in (
    ('', 'mobilenet_v1', 3228864, '1_0'),
    ('_075', 'mobilenet_v1_075', 1832976, '7_5'),
    ('_050', 'mobilenet_v1_050', 829536, '5_0'),
    ('_025', 'mobilenet_v1_025', 218544, '2_5'),
  ):
    yield _keras(
      f'MobileNet{suffix}',
      network,
      layer_names.keras_mobilenet_v1(),
      size,
      classifier='conv_preds',
      url=f'{_KERAS_URL}mobilenet/mobilenet_{file}_224_tf.h5',
    )
  for suffix, network, size, alpha in (
    ('', 'mobilenet_v2', 2257984, '1.0'),
    ('_140', 'mobilenet_v2_140', 4363712, '1.4'),
    ('_035', 'mobilenet_v2_035', 410208, '0.35'),
  ):
    yield _keras(
      f'MobileNetV2{suffix}',
      network,
      layer_names.keras_mobilenet_v2(),
      size,
      url=f'{_KERAS_URL}mobilenet_v2/mobilenet_v2_{_WITH_TOP}_{alpha}_224.h5',
    )
  for name, network, size, file, md5 in (
    ('Large', 'large', 4226432, 'large_224', '59e551e166be033d707958cf9e29a6a7'),
    ('Small', 'small', 1529968, 'small_224', '8768d4c2e7dee89b9d02b2d03d65d862'),
    (
      'LargeMinimalistic', 'large_minimalistic', 2667688,
      'large_minimalistic_224', '675e7b876c45c57e9e63e6d90a36599c',
    ),
    (
      'SmallMinimalistic', 'small_minimalistic', 1031848,
      'small_minimalistic_224', '99cd97fb2fcdad2bf028eb838de69e37',
    ),
  ):  # fmt: skip
    yield _keras(
      f'MobileNetV3{name}',
      f'mobilenet_v3_{network}',
      layer_names.keras_mobilenet_v3(),
      size,
      classifier='logits',
      kernel_factors={} if 'minimalistic' in network else _SIXTH,
      url=f'{_KERAS_URL}mobilenet_v3/weights_mobilenet_v3_{file}_1.0_float.h5',
      md5=md5,
    )


KERAS = (
  *_keras_mobilenets(),
  _keras(
    'InceptionV3', 'inception_v3', layer_names.keras_inception_v3(), 21802784,
    image_size=299,
    url=f'{_KERAS_URL}inception_v3/inception_v3_{_WITH_TOP}.h5',
    md5='9a0d58056eeedaa3f26cb7ebd46da564',
  ),
  _keras(
    'InceptionResNetV2', 'inception_resnet_v2',
    layer_names.keras_inception_resnet_v2(), 54336736,
    image_size=299,
    url=f'{_KERAS_URL}inception_resnet_v2/inception_resnet_v2_{_WITH_TOP}.h5',
    md5='e693bd0210a403b3192acc6073ad2e96',
  ),
  _keras(
    'NASNetMobile', 'nasnet_mobile', layer_names.keras_nasnet(12), 4269716,
    padding='zero_pool',
    url=f'{_KERAS_URL}nasnet/NASNet-mobile.h5',
    md5='020fb642bf7360b370c678b08e0adf61',
  ),
  _keras(
    'NASNetLarge', 'nasnet_large', layer_names.keras_nasnet(18), 84916818,
    image_size=331, padding='zero_pool',
    url=f'{_KERAS_URL}nasnet/NASNet-large.h5',
    md5='11577c9a518f0070763c2b964a382f17',
  ),
  _keras(
    'DenseNet121', 'densenet_121', layer_names.keras_densenet(), 7037504,
    preprocessing=IMAGENET, epsilon=1.001e-5, padding='symmetric',
    url=f'{_KERAS_URL}densenet/densenet121_{_WITH_TOP}.h5',
    md5='9d60b8095a5708f2dcce2bca79d332c7',
  ),
  _keras(
    'VGG16', 'vgg_16', layer_names.keras_vgg(), 134260544,
    preprocessing='vgg', bgr=True,
    url=f'{_KERAS_URL}vgg16/vgg16_{_WITH_TOP}.h5',
    md5='64373286793e3c8b2b4e3219cbf3544b',
  ),
  _keras(
    'VGG19', 'vgg_19', layer_names.keras_vgg(), 139570240,
    preprocessing='vgg', bgr=True,
    url=f'{_KERAS_URL}vgg19/vgg19_{_WITH_TOP}.h5',
    md5='cbe5617147190e668d6c5d5026f83318',
  ),
  *_keras_resnets(),
)  # fmt: skip


def _pytorch(name: str, network: str, layers: LayerNames, size: int, **more):
  """Returns the entry of a network of PyTorch."""
  options = {'preprocessing': IMAGENET, **more}
  return Architecture(name, network, layers, size=size, **options)


def _pytorch_resnets() -> Iterable[Architecture]:
  for name, network, size in (
    ('resnet18', 'resnet_v1b_18', 11186112),
    ('resnet34', 'resnet_v1b_34', 21301696),
    ('resnet50', 'resnet_v1b_50', 23561152),
    ('resnet101', 'resnet_v1b_101', 42605504),
    ('resnet152', 'resnet_v1b_152', 58295232),
    ('resnext50_32x4d', 'resnext_50_32x4d', 23048128),
    ('resnext101_32x4d', 'resnext_101_32x4d', 42266560),
  ):
    yield _pytorch(
      f'timm:{name}',
      network,
      layer_names.pytorch_resnet(),
      size,
      classifier='fc',
      padding='symmetric',
    )
  # Pooling in the legacy ones covers the last row and column as SAME does.
  legacy = layer_names.pytorch_resnet('layer0.', 'se_module', 'last_linear')
  for name, network, size in (
    ('seresnet50', 'resnet_v1b_50', 26092144),
    ('seresnet101', 'resnet_v1b_101', 47383216),
    ('seresnet152', 'resnet_v1b_152', 64924272),
    ('seresnext50_32x4d', 'resnext_50_32x4d', 25579120),
    ('seresnext101_32x4d', 'resnext_101_32x4d', 47044272),
    ('legacy_seresnet50', 'resnet_v1a_50', 26092144),
    ('legacy_seresnet101', 'resnet_v1a_101', 47383216),
    ('legacy_seresnet152', 'resnet_v1a_152', 64924272),
    ('legacy_seresnext50_32x4d', 'resnext_50_32x4d', 25579120),
    ('legacy_seresnext101_32x4d', 'resnext_101_32x4d', 47044272),
  ):
    is_legacy = name.startswith('legacy')
    yield _pytorch(
      f'timm:{name}',
      network,
      legacy if is_legacy else layer_names.pytorch_resnet(),
      size,
      classifier='last_linear' if is_legacy else 'fc',
      padding='same' if is_legacy else 'symmetric',
      attention='se_block(ratio=16)',
    )
  for depth, size in (
    (18, 11276008),
    (34, 21464524),
    (50, 26093776),
    (101, 47386582),
  ):
    yield _pytorch(
      f'official:cbam_resnet{depth}',
      f'resnet_v1b_{depth}',
      layer_names.pytorch_resnet(),
      size,
      classifier='fc',
      padding='symmetric',
      attention=(
        "cbam_block(ratio=16, spatial_pools='max+avg', spatial_batch_norm=True)"
      ),
    )


def _vggs() -> Iterable[Architecture]:
  for depth, network, convolutions, size in (
    (11, 'vgg_a', (1, 1, 2, 2, 2), 128766336),
    (16, 'vgg_16', (2, 2, 3, 3, 3), 134260544),
    (19, 'vgg_19', (2, 2, 4, 4, 4), 139570240),
  ):
    for project, heads in (
      ('timm', ('pre_logits.fc1', 'pre_logits.fc2', 'head.fc')),
      ('torchvision', ('classifier.0', 'classifier.3', 'classifier.6')),
    ):
      yield _pytorch(
        f'{project}:vgg{depth}',
        network,
        layer_names.pytorch_vgg(convolutions, heads),
        size,
        classifier=heads[-1],
      )


def _timm_mobilenets() -> Iterable[Architecture]:
  yield _pytorch(
    'timm:mobilenetv1_100', 'mobilenet_v1',
    layer_names.timm_mobilenet_v1((1, 2, 2, 6, 2)), 3228864,
    classifier='classifier', padding='symmetric',
    preprocessing=f'{IMAGENET}({_HALF})',
  )  # fmt: skip
  v2 = layer_names.timm_mobilenet((1, 2, 3, 4, 3, 3, 1), ('conv_head', 'bn2'))
  for name, network, size in (
    ('100', 'mobilenet_v2', 2257984),
    ('140', 'mobilenet_v2_140', 4363712),
    ('035', 'mobilenet_v2_035', 410208),
  ):
    yield _pytorch(
      f'timm:mobilenetv2_{name}',
      network,
      v2,
      size,
      classifier='classifier',
      padding='symmetric',
    )
  large, small = (1, 2, 3, 4, 2, 3), (1, 2, 3, 2, 3)
  for name, network, repetitions, size in (
    ('large_100', 'large', large, 4226432),
    ('small_100', 'small', small, 1529968),
    ('large_minimal_100', 'large_minimalistic', large, 2667688),
    ('small_minimal_100', 'small_minimalistic', small, 1031848),
  ):
    last = f'blocks.{len(repetitions)}.0.'
    # Both entries share it: recognition.doubt knows equal arrays by this.
    layers = layer_names.timm_mobilenet(
      repetitions, (f'{last}conv', f'{last}bn1')
    )
    shared = {
      'classifier': 'classifier',
      'kernel_factors': {} if 'minimalistic' in network else _SIXTH,
    }
    yield _pytorch(
      f'timm:tf_mobilenetv3_{name}', f'mobilenet_v3_{network}', layers, size,
      epsilon=1e-3, preprocessing=f'{IMAGENET}({_HALF})', **shared,
    )  # fmt: skip
    if 'minimal' not in name:
      yield _pytorch(
        f'timm:mobilenetv3_{name}', f'mobilenet_v3_{network}', layers, size,
        padding='symmetric', **shared,
      )  # fmt: skip


def _torchvision_mobilenets() -> Iterable[Architecture]:
  yield _pytorch(
    'torchvision:mobilenet_v2', 'mobilenet_v2',
    layer_names.torchvision_mobilenet_v2(), 2257984,
    classifier='classifier.1', padding='symmetric',
  )  # fmt: skip
  for kind, size in (('large', 4226432), ('small', 1529968)):
    yield _pytorch(
      f'torchvision:mobilenet_v3_{kind}', f'mobilenet_v3_{kind}',
      layer_names.torchvision_mobilenet_v3(), size,
      classifier='classifier.3', padding='symmetric', epsilon=1e-3,
      kernel_factors=_SIXTH,
    )  # fmt: skip


PYTORCH = (
  *_pytorch_resnets(),
  _pytorch(
    'timm:densenet121', 'densenet_121', layer_names.pytorch_densenet(), 7037504,
    classifier='classifier', padding='symmetric',
  ),
  *_vggs(),
  # PyTorch's mean over a window counts the padding around the map.
  _pytorch(
    'timm:inception_v3', 'inception_v3', layer_names.timm_inception_v3(),
    21820000,
    classifier='fc', image_size=299, epsilon=1e-3, padding='symmetric',
    preprocessing=f'{IMAGENET}({_HALF})',
  ),
  _pytorch(
    'timm:inception_v4', 'inception_v4', layer_names.timm_inception_v4(),
    41205984,
    classifier='last_linear', image_size=299, epsilon=1e-3,
    preprocessing=f'{IMAGENET}({_HALF})',
  ),
  _pytorch(
    'timm:inception_resnet_v2', 'inception_resnet_v2',
    layer_names.timm_inception_resnet_v2(), 54367008,
    classifier='classif', image_size=299, epsilon=1e-3,
    preprocessing=f'{IMAGENET}(crop_fraction=0.8975, {_HALF})',
  ),
  *_timm_mobilenets(),
  *_torchvision_mobilenets(),
  _pytorch(
    'timm:nasnetalarge', 'nasnet_large', layer_names.timm_nasnet(), 84916818,
    classifier='last_linear', image_size=331, epsilon=1e-3,
    padding='zero_avg_pool',
    preprocessing=f'{IMAGENET}(crop_fraction=0.911, {_HALF})',
  ),
  _pytorch(
    'timm:pnasnet5large', 'pnasnet_large',
    layer_names.timm_nasnet('conv_0', 'conv_prev_1x1.'), 81913656,
    classifier='last_linear', image_size=331, epsilon=1e-3,
    preprocessing=f'{IMAGENET}(crop_fraction=0.911, {_HALF})',
  ),
)  # fmt: skip

ARCHITECTURES = Table('architecture', (*KERAS, *PYTORCH))
