"""The formulas of the attention modules in NumPy, from their papers.

Each is formula(net [N, H, W, C], weights, is_training, **options) -> gated net;
weights are {layer: {variable: value}}.
"""

import math

import numpy as np


def sigmoid(x):
  return (1 + np.tanh(x / 2)) / 2


def relu(x):
  return np.maximum(x, 0)


def pooled(net):
  """Returns the mean of each channel, [N, C]."""
  return net.mean((1, 2))


def dense(net, layer):
  return net @ layer['kernel'] + layer.get('bias', 0)


def mlp(net, first, second):
  """relu(net · kernel + bias) · kernel + bias for net [N, C]."""
  return dense(relu(dense(net, first)), second)


def conv(net, layer, rate=1):
  """Returns a SAME convolution with dilation `rate`."""
  kernel = layer['kernel']
  reach = rate * (len(kernel) - 1)
  around = [(0, 0), (reach // 2, reach // 2), (reach // 2, reach // 2), (0, 0)]
  windows = np.lib.stride_tricks.sliding_window_view(
    np.pad(net, around), (reach + 1, reach + 1), (1, 2)
  )[..., ::rate, ::rate]  # [N, H, W, C, k, k]
  return np.einsum('nhwcij,ijco->nhwo', windows, kernel) + layer.get('bias', 0)


# slim's default, which the networks' arg scopes may replace.
EPSILON = 1e-3


def batch_norm(net, layer, is_training, epsilon=EPSILON):
  """Normalizes by the batch's statistics in training, else by moving ones."""
  mean, variance = layer['moving_mean'], layer['moving_variance']
  if is_training:
    others = tuple(range(net.ndim - 1))
    mean, variance = net.mean(others), net.var(others)
  return (
    layer['gamma'] * (net - mean) / np.sqrt(variance + epsilon)
    + (layer['beta'])
  )


EXCITATIONS = {
  'sigmoid': sigmoid,
  'hard_sigmoid': lambda x: np.clip(x + 3, 0, 6) / 6,
  'tanh': np.tanh,
}
POOLS = {
  'avg': np.mean,
  'max': np.max,
  'lse': lambda x, axis: np.log(np.exp(x).sum(axis)),
  'lp': lambda x, axis: np.sqrt((x**2).sum(axis)),
}


def se(net, weights, is_training, ratio, squeeze, excitation):
  del is_training, ratio
  squeezed = POOLS[squeeze](net, axis=(1, 2))
  scores = mlp(squeezed, weights['bottleneck_fc'], weights['recover_fc'])
  return net * EXCITATIONS[excitation](scores)[:, None, None]


def cbam(net, weights, is_training, order, spatial_batch_norm, **options):
  def channel(net):
    layers = weights['ch_at/mlp_0'], weights['ch_at/mlp_1']
    assert ('bias' in layers[0]) == options['mlp_bias']
    pools = options['channel_pools'].split('+')
    scores = sum(mlp(POOLS[p](net, axis=(1, 2)), *layers) for p in pools)
    return sigmoid(scores)[:, None, None]

  def spatial(net):
    pools = [
      net @ weights['sp_at/squeeze']['kernel'][0, 0]
      if pool == 'conv'
      else POOLS[pool](net, axis=3)[..., None]
      for pool in options['spatial_pools'].split('+')
    ]
    scores = conv(np.concatenate(pools, 3), weights['sp_at/conv'])
    if spatial_batch_norm:
      epsilon = options['norm_epsilon'] or EPSILON
      scores = batch_norm(scores, weights['sp_at/norm'], is_training, epsilon)
    return sigmoid(scores)

  if order == 'parallel':
    return net * channel(net) * spatial(net)
  for gate in order.split('_'):
    net = net * {'channel': channel, 'spatial': spatial}[gate](net)
  return net


def bam(net, weights, is_training, dilation, combination, norm, **options):
  def normalized(scores, layer, place):
    if norm != place:
      assert layer not in weights
      return scores
    epsilon = options['norm_epsilon'] or EPSILON
    return batch_norm(scores, weights[layer], is_training, epsilon)

  hidden = dense(pooled(net), weights['channel/mlp_0'])[:, None, None]
  hidden = relu(normalized(hidden, 'channel/norm_0', 'inside'))
  channel = dense(hidden, weights['channel/mlp_1'])
  channel = normalized(channel, 'channel/norm', 'last')
  spatial = net
  for layer in ('reduce', 'dilated_0', 'dilated_1'):
    rate = 1 if layer == 'reduce' else dilation
    spatial = conv(spatial, weights[f'spatial/{layer}'], rate)
    spatial = relu(normalized(spatial, f'spatial/{layer}_norm', 'inside'))
  spatial = conv(spatial, weights['spatial/score'])
  spatial = normalized(spatial, 'spatial/norm', 'last')
  both = channel + spatial if combination == 'add' else channel * spatial
  return net * (1 + sigmoid(both))


def eca(net, weights, is_training, kernel_size):
  del is_training
  channels = net.shape[-1]
  kernel = weights['neighbours']['kernel'][:, 0, 0]
  if kernel_size == 'adaptive':
    # ψ(C) = |log2(C) / 2 + 1 / 2|, made odd: 3 for 16 and 20, else 1 here.
    kernel_size = 3 if channels >= 16 else 1
  if isinstance(kernel_size, tuple):
    kernel_size = kernel_size[0]  # The map is in the first stage.
  assert len(kernel) == kernel_size
  margin = kernel_size // 2
  line = np.pad(pooled(net), [(0, 0), (margin, margin)])
  scores = sum(
    kernel[tap] * line[:, tap : tap + channels] for tap in range(kernel_size)
  )
  return net * sigmoid(scores)[:, None, None]


def gc(net, weights, is_training, ratio, pool, fusion):
  del is_training, ratio
  count, height, width, channels = net.shape
  pixels = net.reshape(count, height * width, channels)
  shares = np.full((count, height * width, 1), 1 / (height * width))
  if pool == 'attention':
    shares = np.exp(pixels @ weights['key']['kernel'][0, 0])
    shares /= shares.sum(1, keepdims=True)
  context = (shares * pixels).sum(1)  # [N, C]
  hidden = dense(context, weights['transform/squeeze'])
  norm = weights['transform/norm']
  hidden = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(
    hidden.var(1, keepdims=True) + 1e-5
  )
  hidden = relu(norm['gamma'] * hidden + norm['beta'])
  term = dense(hidden, weights['transform/expand'])[:, None, None]
  return net + term if fusion == 'add' else net * sigmoid(term)


def coord(net, weights, is_training, ratio, norm_epsilon):
  del ratio
  height = net.shape[1]
  both = np.concatenate([net.mean(2), net.mean(1)], 1)  # [N, H + W, C]
  both = both @ weights['axes']['kernel'][0, 0]
  both = batch_norm(both, weights['norm'], is_training, norm_epsilon or EPSILON)
  both = both * np.clip(both + 3, 0, 6) / 6
  rows = sigmoid(dense(both[:, :height], weights['height']))
  columns = sigmoid(dense(both[:, height:], weights['width']))
  return net * rows[:, :, None] * columns[:, None]


def simam(net, weights, is_training, e_lambda):
  del weights, is_training
  distance = (net - net.mean((1, 2), keepdims=True)) ** 2
  others = max(net.shape[1] * net.shape[2] - 1, 1)
  variance = distance.sum((1, 2), keepdims=True) / others
  return net * sigmoid(distance / (4 * (variance + e_lambda)) + 0.5)


def scse(net, weights, is_training, ratio, combination, spatial_bias):
  del is_training, ratio
  assert ('bias' in weights['sse']) == spatial_bias
  scores = mlp(pooled(net), weights['cse/mlp_0'], weights['cse/mlp_1'])
  channel = net * sigmoid(scores)[:, None, None]
  spatial = net * sigmoid(conv(net, weights['sse']))
  combine = {'add': np.add, 'max': np.maximum}[combination]
  return combine(channel, spatial)


def group_norm(net, layer, groups, epsilon=1e-5):
  """Normalizes each image's groups of channels over all positions."""
  channels = net.shape[-1]
  grouped = net.reshape(len(net), -1, groups, channels // groups)
  grouped = grouped - grouped.mean((1, 3), keepdims=True)
  variance = (grouped**2).mean((1, 3), keepdims=True)
  grouped = grouped / np.sqrt(variance + epsilon)
  return layer['gamma'] * grouped.reshape(net.shape) + layer['beta']


def softmax(x, axis):
  exp = np.exp(x - x.max(axis, keepdims=True))
  return exp / exp.sum(axis, keepdims=True)


def ema(net, weights, is_training, factor):
  """Computes each group of channels by itself, as the paper draws it."""
  del is_training
  groups = np.gcd(net.shape[-1], factor)

  def one(x):
    height = x.shape[1]
    both = np.concatenate([x.mean(2), x.mean(1)], 1)  # [N, H + W, depth]
    both = sigmoid(conv(both[:, :, None], weights['conv1x1'])[:, :, 0])
    near = x * both[:, :height, None] * both[:, None, height:]
    near = group_norm(near, weights['gn'], x.shape[-1])
    wide = conv(x, weights['conv3x3'])
    scores = sum(
      np.einsum('nc,nhwc->nhw', softmax(a.mean((1, 2)), 1), b)
      for a, b in ((near, wide), (wide, near))
    )
    return x * sigmoid(scores)[..., None]

  return np.concatenate([one(x) for x in np.split(net, groups, 3)], 3)


def triplet(net, weights, is_training, kernel_size, spatial, norm_epsilon):
  del kernel_size
  epsilon = norm_epsilon or EPSILON

  def gated(name, reduced):
    """Multiplies by the gate of pools over an axis, moved to the end."""
    turned = np.moveaxis(net, reduced, 3)
    pools = np.stack([turned.max(3), turned.mean(3)], 3)
    scores = conv(pools, weights[f'{name}/conv'])
    norm = weights[f'{name}/norm']
    scores = batch_norm(scores, norm, is_training, epsilon)
    return np.moveaxis(turned * sigmoid(scores), 3, reduced)

  branches = [gated('cw', 1), gated('hc', 2)]
  if spatial:
    branches.append(gated('hw', 3))
  return sum(branches) / len(branches)


def line_conv(lines, layer):
  """Convolves lines [N, L, C] with a kernel [k, width, C] per group."""
  size, width, channels = layer['kernel'].shape
  around = [(0, 0), (size // 2, size // 2), (0, 0)]
  windows = np.lib.stride_tricks.sliding_window_view(
    np.pad(lines, around), size, 1
  )  # [N, L, C, k]
  outputs = [
    np.einsum(
      'nlik,ki->nl',
      windows[:, :, c // width * width :][:, :, :width],
      layer['kernel'][:, :, c],
    )
    for c in range(channels)
  ]
  return np.stack(outputs, 2) + layer.get('bias', 0)


def ela(net, weights, is_training, kernel_size, norm_groups, group_width):
  del is_training
  channels = net.shape[-1]
  kernel = weights['line']['kernel']
  assert kernel.shape[:2] == (kernel_size, np.gcd(channels, group_width))
  rows, columns = (
    sigmoid(
      group_norm(
        line_conv(line, weights['line']),
        weights['norm'],
        np.gcd(channels, norm_groups),
      )
    )
    for line in (net.mean(2), net.mean(1))
  )
  return net * rows[:, :, None] * columns[:, None]


def windows_of(net, size, pool):
  """Pools windows of size x size, or of a side if that is smaller."""
  height, width = (min(size, side) for side in net.shape[1:3])
  return np.stack(
    [
      [
        POOLS[pool](net[:, i : i + height, j : j + width], axis=(1, 2))
        for j in range(0, net.shape[2] - width + 1, width)
      ]
      for i in range(0, net.shape[1] - height + 1, height)
    ]
  ).transpose(2, 0, 1, 3)


def scsa(net, weights, is_training, **options):
  del is_training
  channels = net.shape[-1]
  names = ('local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l')

  def gate(x, axis):
    return softmax(x, axis) if options['gate'] == 'softmax' else sigmoid(x)

  def line_gate(line, norm):
    parts = [
      line_conv(part, weights[name])
      for part, name in zip(np.array_split(line, 4, 2), names, strict=True)
      if part.size
    ]
    line = np.concatenate(parts, 2)
    return gate(group_norm(line, weights[norm], np.gcd(channels, 4)), 1)

  rows, columns = line_gate(net.mean(2), 'norm_h'), net.mean(1)
  net = net * rows[:, :, None] * line_gate(columns, 'norm_w')[:, None]
  size = options['window_size']
  pooled = windows_of(net, 1000 if size == 'all' else size, options['pool'])
  pooled = group_norm(pooled, weights['norm'], 1)
  heads = np.gcd(channels, options['heads'])
  query, key, value = (
    (pooled * weights[name]['kernel'] + weights[name].get('bias', 0))
    .reshape(len(net), -1, heads, channels // heads)
    .transpose(0, 2, 3, 1)
    for name in 'qkv'
  )  # [N, heads, C / heads, tokens]
  assert ('bias' in weights['q']) == options['qkv_bias']
  scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(channels // heads)
  mixed = softmax(scores, 3) @ value
  return net * gate(mixed.mean(3).reshape(-1, 1, 1, channels), 3)


def adaptive_pool(net, height, width):
  """Returns the means of sections, as PyTorch's adaptive pooling cuts them."""
  rows, columns = (
    [slice(i * side // n, -(-(i + 1) * side // n)) for i in range(n)]
    for n, side in zip((height, width), net.shape[1:3], strict=True)
  )
  sections = [[net[:, i, j].mean((1, 2)) for j in columns] for i in rows]
  return np.stack(sections).transpose(2, 0, 1, 3)


def along_channels(line, layer):
  """Convolves the values of each line, [N, length]."""
  return line_conv(line[..., None], layer)[..., 0]


def mlca(net, weights, is_training, local_size, kernel_size, local_weight):
  del is_training
  count, height, width, channels = net.shape
  kernel = weights['conv']['kernel']
  assert len(kernel) == (
    (3 if channels >= 16 else 1) if kernel_size == 'adaptive' else kernel_size
  )
  sections = adaptive_pool(net, local_size, local_size)
  local = along_channels(sections.reshape(count, -1), weights['conv_local'])
  local = sigmoid(local).reshape(sections.shape)
  whole = along_channels(sections.mean((1, 2)), weights['conv'])
  whole = sigmoid(whole)[:, None, None]
  mixed = local_weight * local + (1 - local_weight) * whole
  return net * adaptive_pool(mixed, height, width)


def depthwise(net, layer):
  """Convolves each channel with its own kernel [height, width, C]."""
  height, width = layer['kernel'].shape[:2]
  padded = np.pad(
    net,
    [(0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)],
  )
  windows = np.lib.stride_tricks.sliding_window_view(
    padded, (height, width), (1, 2)
  )
  return np.einsum('nhwcij,ijc->nhwc', windows, layer['kernel']) + layer['bias']


def strip(net, weights, is_training, projections, gate, **options):
  del is_training
  length, thickness = options['kernel_size'], options['thickness']
  assert weights['conv_spatial1']['kernel'].shape[:2] == (thickness, length)
  x = net
  if projections:
    x = conv(net, weights['proj_1'])
    # x · Φ(x), with the distribution function of the normal distribution.
    x = x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
  factor = x
  for layer in ('conv0', 'conv_spatial1', 'conv_spatial2'):
    factor = depthwise(factor, weights[layer])
  factor = conv(factor, weights['conv1'])
  x = x * (sigmoid(factor) if gate == 'sigmoid' else factor)
  return net + conv(x, weights['proj_2']) if projections else x


FORMULAS = {
  'se_block': se,
  'cbam_block': cbam,
  'bam_block': bam,
  'eca_block': eca,
  'gc_block': gc,
  'coord_block': coord,
  'simam_block': simam,
  'scse_block': scse,
  'ema_block': ema,
  'triplet_block': triplet,
  'ela_block': ela,
  'scsa_block': scsa,
  'mlca_block': mlca,
  'strip_block': strip,
}
# Every module, in every form whose operations differ.
FORMS = (
  'se_block',
  "se_block(squeeze='max', excitation='hard_sigmoid')",
  "se_block(excitation='tanh')",
  'cbam_block',
  "cbam_block(channel_pools='lp+max+avg+lse')",
  "cbam_block(spatial_pools='max+conv+avg', order='spatial_channel')",
  "cbam_block(order='parallel')",
  "cbam_block(ratio=16, spatial_pools='max+avg', "
  'spatial_batch_norm=True, norm_gamma=0, norm_epsilon=1e-5)',
  'bam_block',
  "bam_block(combination='multiply', norm='inside', norm_epsilon=1e-5)",
  'eca_block',
  'gc_block',
  "gc_block(ratio=2, pool='avg')",
  "gc_block(ratio=2, fusion='scale')",
  'coord_block',
  'simam_block',
  'scse_block',
  "scse_block(ratio=3, combination='max', spatial_bias=True)",
  'ema_block(factor=4)',
  'triplet_block',
  'ela_block',
  'ela_block(kernel_size=5, norm_groups=2, group_width=8)',
  'scsa_block',
  "scsa_block(heads=2, window_size=2, kernel_sizes=(1, 3, 3, 5), pool='max')",
  "scsa_block(window_size='all', gate='softmax', qkv_bias=True)",
  'mlca_block',
  'strip_block',
  "strip_block(kernel_size=3, thickness=3, gate='sigmoid', projections=True)",
)
# Each option of each module with another value.
TEXTS = (
  *FORMS,
  'se_block(ratio=2)',
  'cbam_block(ratio=3, kernel_size=3)',
  'cbam_block(kernel_size=1)',
  "cbam_block(channel_pools='max')",
  "cbam_block(channel_pools='lse+lp', mlp_bias=False)",
  "cbam_block(spatial_pools='conv', order='spatial')",
  "cbam_block(order='channel')",
  'cbam_block(spatial_batch_norm=True, kernel_size=3)',
  'bam_block(ratio=4, dilation=2)',
  'eca_block(kernel_size=5)',
  'eca_block(kernel_size=(3, 5, 5, 7))',
  'gc_block(ratio=4)',
  'coord_block(ratio=2, norm_epsilon=1e-5)',
  'simam_block(e_lambda=0.5)',
  'ema_block',
  'triplet_block(kernel_size=3, spatial=False, norm_epsilon=1e-5)',
  'mlca_block(local_size=2, kernel_size=5, local_weight=0.25)',
)
