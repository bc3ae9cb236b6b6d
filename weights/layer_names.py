"""What other projects call the layers of our networks.

Each function returns a `LayerNames`: a function of the scopes of a network's
layers, in the order of creation and without the network's own scope, that
returns what the other project calls each of them. A scope that ends in
/BatchNorm is the norm of a convolution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

# Our scopes -> our scope: their name.
LayerNames: TypeAlias = Callable[[Sequence[str]], dict[str, str]]
# Pattern of our scopes -> their name: a template for the groups, in which
# numbers are numbers, or a function of them.
Rules: TypeAlias = 'Mapping[str, str | Callable[..., str]]'

NORM = '/BatchNorm'


def by_rules(rules: Rules) -> LayerNames:
  """Names a layer by the first rule whose pattern matches all of its scope."""

  def names(scopes: Sequence[str]) -> dict[str, str]:
    found = {scope: _by_rules(scope, rules) for scope in scopes}
    return {scope: name for scope, name in found.items() if name is not None}

  return names


def in_order(
  convolutions: Sequence[str], norm: Callable[[str], str], classifier: str
) -> LayerNames:
  """Names the convolutions of an Inception network in order of creation.

  Args:
    convolutions: their names, in the order in which ours are created.
    norm: returns the name of a convolution's norm.
    classifier: name of the fully connected layer.
  """

  def names(scopes: Sequence[str]) -> dict[str, str]:
    body = [
      scope
      for scope in scopes
      if 'Conv' in scope
      and not scope.endswith(NORM)
      and not scope.startswith(('AuxLogits', 'Logits'))
    ]
    found = dict(zip(body, convolutions, strict=False))
    for scope, name in list(found.items()):
      found[scope + NORM] = norm(name)
    found |= {
      scope: classifier for scope in scopes if scope.startswith('Logits/')
    }
    return {scope: name for scope, name in found.items() if scope in scopes}

  return names


def _by_rules(scope: str, rules: Rules) -> str | None:
  for pattern, name in rules.items():
    match = re.fullmatch(pattern, scope)
    if match:
      groups = [
        int(text) if text and text.isdigit() else text
        for text in match.groups()
      ]
      return name(*groups) if callable(name) else name.format(*groups)
  return None


# Keras.


def keras_resnet_v1() -> LayerNames:
  """Returns the names of ResNet50, ResNet101 and ResNet152."""
  unit = r'block(\d)/unit_(\d+)/bottleneck_v1/'
  return by_rules(
    {
      'conv1': 'conv1_conv',
      'conv1/BatchNorm': 'conv1_bn',
      unit + r'conv(\d)': _keras_unit('{2}_conv'),
      unit + r'conv(\d)/BatchNorm': _keras_unit('{2}_bn'),
      unit + 'shortcut': _keras_unit('0_conv'),
      unit + 'shortcut/BatchNorm': _keras_unit('0_bn'),
      'logits': 'predictions',
    }
  )


def keras_resnet_v2() -> LayerNames:
  """Returns the names of ResNet50V2, ResNet101V2 and ResNet152V2."""
  unit = r'block(\d)/unit_(\d+)/bottleneck_v2/'
  return by_rules(
    {
      'conv1': 'conv1_conv',
      unit + 'preact': _keras_unit('preact_bn'),
      unit + r'conv(\d)': _keras_unit('{2}_conv'),
      unit + r'conv(\d)/BatchNorm': _keras_unit('{2}_bn'),
      unit + 'shortcut': _keras_unit('0_conv'),
      'postnorm': 'post_bn',
      'logits': 'predictions',
    }
  )


def _keras_unit(end: str) -> Callable[..., str]:
  """Returns conv<block + 1>_block<unit>_<end>."""

  def name(block: int, unit: int, *rest: object) -> str:
    return f'conv{block + 1}_block{unit}_' + end.format(block, unit, *rest)

  return name


def keras_densenet() -> LayerNames:
  """Returns the names of DenseNet121."""
  layer = r'block(\d)/layer_(\d+)/'
  return by_rules(
    {
      'conv1': 'conv1_conv',
      'conv1/BatchNorm': 'conv1_bn',
      layer + 'norm1': _keras_unit('0_bn'),
      layer + 'conv1': _keras_unit('1_conv'),
      layer + 'norm2': _keras_unit('1_bn'),
      layer + 'conv2': _keras_unit('2_conv'),
      r'transition(\d)/norm1': lambda number: f'pool{number + 1}_bn',
      r'transition(\d)/conv1': lambda number: f'pool{number + 1}_conv',
      'postnorm': 'bn',
      'logits': 'predictions',
    }
  )


def keras_vgg() -> LayerNames:
  """Returns the names of VGG16 and VGG19."""
  return by_rules(
    {
      r'conv\d/conv(\d)_(\d)': 'block{0}_conv{1}',
      'fc6': 'fc1',
      'fc7': 'fc2',
      'fc8': 'predictions',
    }
  )


def keras_mobilenet_v1() -> LayerNames:
  """Returns the names of MobileNet."""
  return by_rules(
    {
      'Conv2d_0': 'conv1',
      'Conv2d_0/BatchNorm': 'conv1_bn',
      r'Conv2d_(\d+)_depthwise': 'conv_dw_{}',
      r'Conv2d_(\d+)_depthwise/BatchNorm': 'conv_dw_{}_bn',
      r'Conv2d_(\d+)_pointwise': 'conv_pw_{}',
      r'Conv2d_(\d+)_pointwise/BatchNorm': 'conv_pw_{}_bn',
      'Logits/Conv2d_1c_1x1': 'conv_preds',
    }
  )


def keras_mobilenet_v2() -> LayerNames:
  """Returns the names of MobileNetV2."""
  return by_rules(
    {
      'Conv': 'Conv1',
      'Conv/BatchNorm': 'bn_Conv1',
      'Conv_1': 'Conv_1',
      'Conv_1/BatchNorm': 'Conv_1_bn',
      r'expanded_conv/(\w+)': 'expanded_conv_{}',
      r'expanded_conv/(\w+)/BatchNorm': 'expanded_conv_{}_BN',
      r'expanded_conv_(\d+)/(\w+)': 'block_{}_{}',
      r'expanded_conv_(\d+)/(\w+)/BatchNorm': 'block_{}_{}_BN',
      'Logits/Conv2d_1c_1x1': 'predictions',
    }
  )


def keras_mobilenet_v3() -> LayerNames:
  """Returns the names of MobileNetV3Large and MobileNetV3Small."""
  return by_rules(
    {
      'Conv': 'conv',
      r'Conv_(\d)': 'conv_{}',
      'Conv/BatchNorm': 'conv_bn',
      'Conv_1/BatchNorm': 'conv_1_bn',
      r'(expanded_conv(?:_\d+)?)/squeeze_excite/Conv': (
        '{}_squeeze_excite_conv'
      ),
      r'(expanded_conv(?:_\d+)?)/squeeze_excite/Conv_1': (
        '{}_squeeze_excite_conv_1'
      ),
      r'(expanded_conv(?:_\d+)?)/(\w+)': '{}_{}',
      r'(expanded_conv(?:_\d+)?)/(\w+)/BatchNorm': '{}_{}_bn',
      'Logits/Conv2d_1c_1x1': 'logits',
    }
  )


def keras_nasnet(cells: int) -> LayerNames:
  """Returns the names of NASNetMobile and NASNetLarge.

  Args:
    cells: number of normal cells; two reduction cells divide them into thirds.
  """
  third = cells // 3

  def suffix(cell: str) -> str:
    kind, _, number = cell.rpartition('_')
    if kind == 'cell_stem':
      return f'stem_{int(number) + 1}'
    if kind == 'reduction_cell':
      return f'reduce_{third * (int(number) + 1)}'
    # Keras leaves out one number, after the first third.
    return str(int(number) + (int(number) >= third))

  def kind(cell: str) -> str:
    is_normal = cell.startswith('cell_') and 'stem' not in cell
    return 'normal' if is_normal else 'reduction'

  def branch(cell: str, pair: int, side: str) -> str:
    # Keras counts the last pair of a reduction cell as its fourth.
    number = min(pair + 1, 4 if kind(cell) == 'reduction' else 5)
    return f'{kind(cell)}_{side}{number}_{suffix(cell)}'

  cell = r'(\w*cell_\w+?)/'
  separable = cell + r'comb_iter_(\d)/(left|right)/'
  return by_rules(
    {
      'conv0': 'stem_conv1',
      'conv0_bn': 'stem_bn1',
      cell + '1x1': lambda c: f'{kind(c)}_conv_1_{suffix(c)}',
      cell + 'beginning_bn': lambda c: f'{kind(c)}_bn_1_{suffix(c)}',
      cell + 'prev_1x1': lambda c: f'adjust_conv_projection_{suffix(c)}',
      cell + 'prev_bn': lambda c: f'adjust_bn_{suffix(c)}',
      cell + r'path(\d)_conv': lambda c, n: f'adjust_conv_{n}_{suffix(c)}',
      cell + 'final_path_bn': lambda c: f'adjust_bn_{suffix(c)}',
      separable + r'separable_\dx\d_(\d)': lambda c, pair, side, n: (
        f'separable_conv_{n}_{branch(c, pair, side)}'
      ),
      separable + r'bn_sep_\dx\d_(\d)': lambda c, pair, side, n: (
        f'separable_conv_{n}_bn_{branch(c, pair, side)}'
      ),
      'final_layer/FC': 'predictions',
    }
  )


def keras_inception_v3() -> LayerNames:
  """Returns the names of InceptionV3, whose layers are only numbered."""
  return in_order(list(_numbered(94)), _keras_norm, 'predictions')


def keras_inception_resnet_v2() -> LayerNames:
  """Returns the names of InceptionResNetV2: numbered, or of a block's end."""
  names = _numbered(500)

  def blocks(kind: str, count: int, convolutions: int) -> Iterator[str]:
    for number in range(1, count + 1):
      for _ in range(convolutions):
        yield next(names)
      yield f'{kind}_{number}_conv'

  def numbered(count: int) -> Iterator[str]:
    for _ in range(count):
      yield next(names)

  convolutions = [
    *numbered(12),
    *blocks('block35', 10, 6),
    *numbered(4),
    *blocks('block17', 20, 4),
    *numbered(7),
    *blocks('block8', 10, 4),
    'conv_7b',
  ]
  return in_order(convolutions, _keras_norm, 'predictions')


def _numbered(count: int) -> Iterator[str]:
  """Yields conv2d, conv2d_1, conv2d_2, …."""
  for number in range(count):
    yield f'conv2d_{number}' if number else 'conv2d'


def _keras_norm(name: str) -> str:
  """Returns batch_normalization_3 for conv2d_3, and conv_7b_bn for conv_7b."""
  if name.startswith('conv2d'):
    return name.replace('conv2d', 'batch_normalization')
  return f'{name}_bn'


# PyTorch.


def pytorch_resnet(
  root: str = '', gate: str = 'se', classifier: str = 'fc'
) -> LayerNames:
  """Returns the names of a ResNet v1 or ResNeXt.

  Args:
    root: prefix of the first convolution.
    gate: module of squeeze and excitation or CBAM.
    classifier: name of the fully connected layer.
  """
  unit = r'block(\d)/unit_(\d+)/(?:basic|bottleneck)_v1/'

  def of_unit(end: str) -> Callable[..., str]:
    return lambda block, number, *rest: (
      f'layer{block}.{number - 1}.' + end.format(*rest)
    )

  cbam = unit + r'cbam_block/'
  return by_rules(
    {
      'conv1': f'{root}conv1',
      'conv1/BatchNorm': f'{root}bn1',
      unit + r'conv(\d)': of_unit('conv{}'),
      unit + r'conv(\d)/BatchNorm': of_unit('bn{}'),
      unit + 'shortcut': of_unit('downsample.0'),
      unit + 'shortcut/BatchNorm': of_unit('downsample.1'),
      unit + 'se_block/bottleneck_fc': of_unit(f'{gate}.fc1'),
      unit + 'se_block/recover_fc': of_unit(f'{gate}.fc2'),
      cbam + 'ch_at/mlp_0': of_unit('cbam.ChannelGate.mlp.1'),
      cbam + 'ch_at/mlp_1': of_unit('cbam.ChannelGate.mlp.3'),
      cbam + 'sp_at/conv': of_unit('cbam.SpatialGate.spatial.conv'),
      cbam + 'sp_at/norm': of_unit('cbam.SpatialGate.spatial.bn'),
      'logits': classifier,
    }
  )


def pytorch_densenet() -> LayerNames:
  """Returns the names of densenet121."""
  return by_rules(
    {
      'conv1': 'features.conv0',
      'conv1/BatchNorm': 'features.norm0',
      r'block(\d)/layer_(\d+)/(norm|conv)(\d)': (
        'features.denseblock{}.denselayer{}.{}{}'
      ),
      r'transition(\d)/(norm|conv)1': 'features.transition{}.{}',
      'postnorm': 'features.norm5',
      'logits': 'classifier',
    }
  )


def pytorch_vgg(
  convolutions: Sequence[int], heads: Sequence[str]
) -> LayerNames:
  """Returns the names of a VGG network, whose layers have one number.

  Args:
    convolutions: number of convolutions in each block. A convolution and its
      relu count two, the pooling after a block one.
    heads: names of the three fully connected layers.
  """

  def feature(block: int, index: int) -> str:
    before = sum(2 * count + 1 for count in convolutions[: block - 1])
    return f'features.{before + 2 * (index - 1)}'

  fully_connected = dict(zip(('fc6', 'fc7', 'fc8'), heads, strict=True))
  return by_rules({r'conv\d/conv(\d)_(\d)': feature, **fully_connected})


def timm_mobilenet_v1(repetitions: Sequence[int]) -> LayerNames:
  """Returns the names of mobilenetv1: blocks.<stage>.<index>.

  Args:
    repetitions: number of blocks in each stage.
  """
  place = _stages(repetitions)

  def of_block(end: str) -> Callable[[int], str]:
    return lambda number: f'blocks.{place[number - 1]}.{end}'

  return by_rules(
    {
      'Conv2d_0': 'conv_stem',
      'Conv2d_0/BatchNorm': 'bn1',
      r'Conv2d_(\d+)_depthwise': of_block('conv_dw'),
      r'Conv2d_(\d+)_depthwise/BatchNorm': of_block('bn1'),
      r'Conv2d_(\d+)_pointwise': of_block('conv_pw'),
      r'Conv2d_(\d+)_pointwise/BatchNorm': of_block('bn2'),
      'Logits/Conv2d_1c_1x1': 'classifier',
    }
  )


def timm_mobilenet(
  repetitions: Sequence[int], last: tuple[str, str]
) -> LayerNames:
  """Returns the names of mobilenetv2 and mobilenetv3: blocks.<stage>.<index>.

  Args:
    repetitions: number of blocks in each stage.
    last: names of the last convolution and its norm.
  """
  place = _stages(repetitions)
  block = r'expanded_conv(?:_(\d+))?/'

  def of_block(end: str, first: str) -> Callable[[int | None], str]:
    # The first block has no expansion, so its layers are counted from there.
    return lambda number: (
      f'blocks.{place[number or 0]}.' + (end if number else first)
    )

  return by_rules(
    {
      'Conv': 'conv_stem',
      'Conv/BatchNorm': 'bn1',
      block + 'expand': of_block('conv_pw', 'conv_pw'),
      block + 'expand/BatchNorm': of_block('bn1', 'bn1'),
      block + 'depthwise': of_block('conv_dw', 'conv_dw'),
      block + 'depthwise/BatchNorm': of_block('bn2', 'bn1'),
      block + 'squeeze_excite/Conv': of_block(*['se.conv_reduce'] * 2),
      block + 'squeeze_excite/Conv_1': of_block(*['se.conv_expand'] * 2),
      block + 'project': of_block('conv_pwl', 'conv_pw'),
      block + 'project/BatchNorm': of_block('bn3', 'bn2'),
      'Conv_1': last[0],
      'Conv_1/BatchNorm': last[1],
      'Conv_2': 'conv_head',
      'Logits/Conv2d_1c_1x1': 'classifier',
    }
  )


def _stages(repetitions: Sequence[int]) -> list[str]:
  """Returns '<stage>.<index>' of each block."""
  return [
    f'{stage}.{index}'
    for stage, count in enumerate(repetitions)
    for index in range(count)
  ]


def torchvision_mobilenet_v2() -> LayerNames:
  """Returns the names of mobilenet_v2: features.<block>.conv.<index>."""

  def of_block(index: str) -> Callable[[int], str]:
    return lambda number: f'features.{number + 1}.conv.{index}'

  return by_rules(
    {
      'Conv': 'features.0.0',
      'Conv/BatchNorm': 'features.0.1',
      'expanded_conv/depthwise': 'features.1.conv.0.0',
      'expanded_conv/depthwise/BatchNorm': 'features.1.conv.0.1',
      'expanded_conv/project': 'features.1.conv.1',
      'expanded_conv/project/BatchNorm': 'features.1.conv.2',
      r'expanded_conv_(\d+)/expand': of_block('0.0'),
      r'expanded_conv_(\d+)/expand/BatchNorm': of_block('0.1'),
      r'expanded_conv_(\d+)/depthwise': of_block('1.0'),
      r'expanded_conv_(\d+)/depthwise/BatchNorm': of_block('1.1'),
      r'expanded_conv_(\d+)/project': of_block('2'),
      r'expanded_conv_(\d+)/project/BatchNorm': of_block('3'),
      'Conv_1': 'features.18.0',
      'Conv_1/BatchNorm': 'features.18.1',
      'Logits/Conv2d_1c_1x1': 'classifier.1',
    }
  )


def torchvision_mobilenet_v3() -> LayerNames:
  """Returns the names of mobilenet_v3: features.<block>.block.<index>.

  A layer's index in its block depends on whether the block expands and has a
  gate.
  """

  def names(scopes: Sequence[str]) -> dict[str, str]:
    found = {
      'Conv': 'features.0.0',
      'Conv_2': 'classifier.0',
      'Logits/Conv2d_1c_1x1': 'classifier.3',
    }
    # Layer's end -> module inside an entry of a block.
    ends = {'expand': '0', 'depthwise': '0', 'project': '0'}
    ends |= {'squeeze_excite/Conv': 'fc1', 'squeeze_excite/Conv_1': 'fc2'}
    indices: dict[int, int] = {}
    for scope in scopes:
      match = re.fullmatch(r'expanded_conv(?:_(\d+))?/(.+)', scope)
      if not match or match[2] not in ends:
        continue
      block = int(match[1] or 0) + 1
      # Both convolutions of a gate are of one entry.
      if not match[2].endswith('Conv_1'):
        indices[block] = indices.get(block, -1) + 1
      entry = f'features.{block}.block.{indices[block]}'
      found[scope] = f'{entry}.{ends[match[2]]}'
    found['Conv_1'] = f'features.{len(indices) + 1}.0'
    norms = {
      scope + NORM: name.removesuffix('0') + '1'
      for scope, name in found.items()
      if name.startswith('features.')
    }
    return {s: n for s, n in (found | norms).items() if s in scopes}

  return names


def timm_inception_v3() -> LayerNames:
  """Returns the names of inception_v3, in timm and torchvision."""
  double = [f'branch3x3dbl_{n}' for n in (1, 2, 3)]
  a = ['branch1x1', 'branch5x5_1', 'branch5x5_2', *double, 'branch_pool']
  b = [
    'branch1x1',
    *(f'branch7x7_{n}' for n in range(1, 4)),
    *(f'branch7x7dbl_{n}' for n in range(1, 6)),
    'branch_pool',
  ]
  c = [
    'branch1x1', 'branch3x3_1', 'branch3x3_2a', 'branch3x3_2b', *double[:2],
    'branch3x3dbl_3a', 'branch3x3dbl_3b', 'branch_pool',
  ]  # fmt: skip
  cells = {
    '5b': a, '5c': a, '5d': a, '6a': ['branch3x3', *double],
    '6b': b, '6c': b, '6d': b, '6e': b,
    '7a': [
      'branch3x3_1', 'branch3x3_2', *(f'branch7x7x3_{n}' for n in range(1, 5))
    ],
    '7b': c, '7c': c,
  }  # fmt: skip
  root = ['1a_3x3', '2a_3x3', '2b_3x3', '3b_1x1', '4a_3x3']
  return _timm_in_order(
    [
      *(f'Conv2d_{name}' for name in root),
      *(f'Mixed_{cell}.{name}' for cell in cells for name in cells[cell]),
    ],
    'fc',
  )


def timm_inception_v4() -> LayerNames:
  """Returns the names of inception_v4: features.<index>.<branch>."""
  a = ['branch0', *_branches(2, 3), 'branch3.1']
  b = ['branch0', *_branches(3, 5), 'branch3.1']
  c = [
    'branch0', 'branch1_0', 'branch1_1a', 'branch1_1b', 'branch2_0',
    'branch2_1', 'branch2_2', 'branch2_3a', 'branch2_3b', 'branch3.1',
  ]  # fmt: skip
  reduction = [f'branch0.{n}' for n in (0, 1)] + _branches(4)
  cells = [
    [], [], [], ['conv'], reduction, ['conv'], *[a] * 4,
    ['branch0', *_branches(3)], *[b] * 7, reduction, *[c] * 3,
  ]  # fmt: skip
  return _timm_in_order(
    [
      f'features.{index}' + (f'.{name}' if name else '')
      for index, names in enumerate(cells)
      for name in names or ['']
    ],
    'last_linear',
  )


def timm_inception_resnet_v2() -> LayerNames:
  """Returns the names of inception_resnet_v2."""
  block35 = ['branch0', *_branches(2, 3), 'conv2d']
  block17 = ['branch0', *_branches(3), 'conv2d']

  def repeated(scope: str, count: int, names: list[str]) -> list[str]:
    return [f'{scope}.{n}.{name}' for n in range(count) for name in names]

  def cell(scope: str, names: list[str]) -> list[str]:
    return [f'{scope}.{name}' for name in names]

  return _timm_in_order(
    [
      *(f'conv2d_{name}' for name in ('1a', '2a', '2b', '3b', '4a')),
      *cell('mixed_5b', ['branch0', *_branches(2, 3), 'branch3.1']),
      *repeated('repeat', 10, block35),
      *cell('mixed_6a', ['branch0', *_branches(3)]),
      *repeated('repeat_1', 20, block17),
      *cell('mixed_7a', ['branch0.0', 'branch0.1', *_branches(2, 3)]),
      *repeated('repeat_2', 9, block17),
      *cell('block8', block17),
      'conv2d_7b',
    ],
    'classif',
  )


def _branches(*lengths: int) -> list[str]:
  """Returns branch1.0, branch1.1, …, then branch2.0, …."""
  return [
    f'branch{branch}.{index}'
    for branch, length in enumerate(lengths, start=1)
    for index in range(length)
  ]


def _timm_in_order(layers: Sequence[str], classifier: str) -> LayerNames:
  """Names convolutions <layer>.conv and norms <layer>.bn."""
  return in_order(
    [
      # The convolution that ends a residual block has no norm.
      name if name.endswith('conv2d') else f'{name}.conv'
      for name in layers
    ],
    lambda name: name.removesuffix('conv') + 'bn',
    classifier,
  )


def timm_nasnet(root: str = 'conv0', adjusted: str = '') -> LayerNames:
  """Returns the names of nasnetalarge and pnasnet5large.

  Args:
    root: module of the first convolution.
    adjusted: module of the two paths that halve the map before the last.
  """
  cell = r'(\w*cell_\w+?)/'
  branch = cell + r'comb_iter_(\d)/(left|right)/'
  pair = '{}.comb_iter_{}_{}.'
  return by_rules(
    {
      'conv0': f'{root}.conv',
      'conv0_bn': f'{root}.bn',
      cell + '1x1': '{}.conv_1x1.conv',
      cell + 'beginning_bn': '{}.conv_1x1.bn',
      cell + 'prev_1x1': '{}.conv_prev_1x1.conv',
      cell + 'prev_bn': '{}.conv_prev_1x1.bn',
      cell + r'path(\d)_conv': f'{{}}.{adjusted}path_{{}}.conv',
      cell + 'final_path_bn': f'{{}}.{adjusted}final_path_bn',
      branch + r'separable_\dx\d_(\d)': pair + 'separable_{}',
      branch + r'bn_sep_\dx\d_(\d)': pair + 'bn_sep_{}',
      branch + '1x1': pair + 'conv',
      branch + 'bn_1': pair + 'bn',
      'final_layer/FC': 'last_linear',
    }
  )
