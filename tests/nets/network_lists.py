"""The networks that tests build: in the quick tests, and for each structure."""

# A network alone is built without attention, with SE and with CBAM. All others
# are in the slow tests.
QUICK = {
  'lenet',
  'cifarnet',
  'airbench_cifar+cbam_block',
  'resnet_v1_50+cbam_block',
  'resnet_v2_50+none',
  'mobilenet_v1_025+none',
  'resnet_v1_18+none',
  'resnet_cifar_20+cbam_block',
  'inception_v1+cbam_block',
  'mobilenet_v2_035+cbam_block',
  'mobilenet_v3_small_minimalistic+none',
}
# One network, as small as there is, for each structure: each file, and each unit,
# cell or block of it. Depths and widths of one structure are the same code, so
# what is expensive (gradients, training steps, several clones) runs for these.
# nasnet_cifar is nasnet_mobile with more cells and a stem of one convolution.
STRUCTURES = (
  'lenet',
  'cifarnet',
  'airbench_cifar',
  'resnet_v1_18',
  'resnet_v1_50',
  'resnet_v2_50',
  'resnet_cifar_18',
  'resnet_cifar_20',
  'wide_resnet_18_x1_5',
  'resnext_50_32x4d',
  'densenet_cifar_100_12',
  'alexnet_v2',
  'overfeat',
  'vgg_a',
  'mobilenet_v1_025',
  'inception_v1',
  'inception_v2',
  'inception_v3',
  'inception_v4',
  'inception_resnet_v2',
  'mobilenet_v2_035',
  'mobilenet_v3_small',
  'mobilenet_v3_small_minimalistic',
  'mobilenet_edgetpu_075',
  'nasnet_mobile',
  'pnasnet_mobile',
)
# Deeper networks of a structure repeat its units. They are built plain; the deepest
# ones with CBAM, too.
DEEP_WITH_ATTENTION = {
  f'resnet_{version}_{depth}+{attention}'
  for version in ('v1', 'v2')
  for depth in (101, 152, 200)
  for attention in ('se_block', 'cbam_block')
  if (depth, attention) != (200, 'cbam_block')
}
