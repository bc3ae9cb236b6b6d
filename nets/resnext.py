"""ResNeXt: ResNet v1 whose 3x3 convolutions are wider, but in 32 groups.

Aggregated residual transformations for deep neural networks, Xie et al., 2016:
https://arxiv.org/abs/1611.05431
"""

import functools

from nets import resnet, resnet_v1
from nets.grouped_conv import grouped_conv2d

# 32x4d: 32 groups of 4 channels in the first block, whose output has 256.
bottleneck = functools.partial(
  resnet_v1.bottleneck,
  narrowing=2,
  conv=functools.partial(grouped_conv2d, groups=32),
)
NETWORKS = tuple(
  resnet.network(
    f'resnext_{layers}_32x4d',
    resnet.Plan(bottleneck, resnet.UNITS[layers], 256, stride_first=True),
  )
  for layers in (50, 101)
)
