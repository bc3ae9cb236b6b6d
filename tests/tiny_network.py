"""Small networks: one without chance in it, and others made shorter."""

import dataclasses
import functools

from nets import (
  heads,
  inception_resnet_v2,
  inception_v3,
  inception_v4,
  nets_factory,
)
from nets.attention.attend import BLOCK, CLASS, STAGE, attend
from nets.spec import NetworkSpec
from registry import Table
from tf_compat import slim, tf


def tiny(images, num_classes, is_training):
  """[N, H, W, C] -> convolution, batch norm, attention, pool, logits."""
  with (
    tf.variable_scope('Tiny'),
    slim.arg_scope([slim.batch_norm], is_training=is_training),
  ):
    net = slim.conv2d(images, 8, 5, stride=2, scope='conv1')
    net = attend(net, scope='conv1_{tag}', at=(BLOCK, STAGE))
    # A scope within a scope, in which clones take turns at batch norm.
    with slim.arg_scope([slim.conv2d], stride=2, activation_fn=tf.nn.elu):
      net = slim.conv2d(net, 8, 3, scope='conv2')
      net = slim.conv2d(net, 8, 3, scope='conv3')
    net = slim.conv2d(net, 8, 3, scope='conv4')
    net = slim.flatten(attend(net, at=CLASS))
    logits = slim.fully_connected(
      net, num_classes, activation_fn=None, scope='logits'
    )
  return logits, {'conv4': net, 'Logits': logits}


def arg_scope(weight_decay):
  """L2 on all kernels, batch norm after all convolutions."""
  regularizer = slim.l2_regularizer(weight_decay)
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected], weights_regularizer=regularizer
    ),
    slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm),
    slim.arg_scope([slim.batch_norm], decay=0.9, scale=True) as scope,
  ):
    return scope


TINY = NetworkSpec(
  name='tiny',
  build=tiny,
  arg_scope=arg_scope,
  image_size=32,
  min_image_size=8,
  preprocessing='lenet',
  attention_points=1,
  stage_points=1,
  channels=None,
)


def plain_arg_scope(weight_decay, batch_norm_decay=None):
  """L2 on all kernels and no batch norm, whose batch workers do not share."""
  del batch_norm_decay
  with slim.arg_scope(
    [slim.conv2d, slim.fully_connected],
    weights_regularizer=slim.l2_regularizer(weight_decay),
  ) as scope:
    return scope


PLAIN = dataclasses.replace(TINY, name='tiny_plain', arg_scope=plain_arg_scope)


# Of cells that are repeated, the last, whose name others read.
_KEPT_LAYERS = {
  inception_v3: (slice(-8), slice(-5, None)),
  inception_v4: (slice(6), slice(9, 12), slice(18, 22)),
}


def shorten(set_attribute) -> None:
  """Leaves few of the blocks that networks repeat; makes TINY known.

  Args:
    set_attribute: a MonkeyPatch's setattr.
  """
  repeat, head = inception_resnet_v2.repeat, heads.fc_conv_head

  def once(net, scope, name, count, *args):
    return repeat(net, scope, name, 1, *args)

  def narrow(*args, **options):
    return head(*args, **{**options, 'width': 64})

  set_attribute(inception_resnet_v2, 'repeat', once)
  for module, kept in _KEPT_LAYERS.items():
    layers = [layer for part in kept for layer in module.LAYERS[part]]
    set_attribute(module, 'LAYERS', layers)
  # The weights of fc6 would be 400 MB.
  set_attribute(heads, 'fc_conv_head', narrow)
  specs = map(_shortened, nets_factory.NETWORKS.values())
  set_attribute(nets_factory, 'NETWORKS', Table('network', [*specs, TINY]))


def _shortened(spec):
  """Returns a network with few blocks of those that its options count."""
  if not isinstance(spec.build, functools.partial):
    return spec
  options = dict(spec.build.keywords)
  if plan := options.get('plan'):
    # One unit of the second stage keeps the size of its input.
    units = [min(2 if i == 1 else 1, n) for i, n in enumerate(plan.units)]
    options['plan'] = plan._replace(units=tuple(units))
  if 'growth' in options:
    options['blocks'] = (2,) * len(options['blocks'])
  if config := options.get('config'):
    options['config'] = dataclasses.replace(config, cells=3)
  build = functools.partial(spec.build.func, **options)
  return dataclasses.replace(spec, build=build)


def register(set_attribute=setattr) -> None:
  """Makes --model_name=tiny and tiny_plain known."""
  table = Table('network', (*nets_factory.NETWORKS.values(), TINY, PLAIN))
  set_attribute(nets_factory, 'NETWORKS', table)
