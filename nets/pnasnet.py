"""PNASNet-5: a single cell from progressive search, also with stride 2.

Progressive neural architecture search, Liu et al., 2017:
https://arxiv.org/abs/1712.00559
"""

from __future__ import annotations

import functools

from nets import nasnet
from nets.nasnet import Cell, Config, Term
from nets.spec import EndPoints, NetworkSpec
from tf_compat import slim, tf

CELL = Cell(
  sums=(
    (Term('separable_5x5', 1), Term('max_pool_3x3', 1)),
    (Term('separable_7x7', 0), Term('max_pool_3x3', 0)),
    (Term('separable_5x5', 0), Term('separable_3x3', 0)),
    (Term('separable_3x3', 4), Term('max_pool_3x3', 0)),
    (Term('separable_3x3', 1), Term('identity', 0)),
  ),
  outputs=(2, 3, 4, 5, 6),
)


def pnasnet(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  config: Config,
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the stem, three stages of the cell and the classifier.

  Args and results are those of nasnet.nasnet.
  """
  outer = tf.get_variable_scope()
  with (
    tf.variable_scope(outer, reuse=reuse),
    slim.arg_scope([slim.batch_norm], is_training=is_training),
  ):
    count = config.cells + 2
    builder = nasnet.stem(images, config, is_training, count, CELL)
    end_points, scale = {'Stem': builder.net}, 1
    for index in range(config.cells):
      reduces = index in config.reductions
      scale *= 2 if reduces else 1
      net = builder.add(
        CELL,
        f'cell_{index}',
        scale,
        stride=2 if reduces else 1,
        ends_stage=index + 1 in config.reductions,
      )
      end_points[f'Cell_{index}'] = net
      if is_training and num_classes and index == config.reductions[1] - 1:
        end_points['AuxLogits'] = nasnet.aux_head(
          net, num_classes, f'aux_{index}'
        )
    net, last = nasnet.classify(
      net, num_classes, is_training, config.dropout_keep_prob
    )
  return net, end_points | last


MOBILE = Config(cells=9, depth=54, stem_depth=32)
LARGE = Config(cells=12, depth=216, stem_depth=96, path_keep_prob=0.6)


def _network(name: str, config: Config, image_size: int) -> NetworkSpec:
  """Returns the spec of a variant."""
  return NetworkSpec(
    name=name,
    build=functools.partial(pnasnet, config=config),
    arg_scope=nasnet.nasnet_arg_scope,
    image_size=image_size,
    min_image_size=67,
    preprocessing='inception',
    attention_points=config.cells + 2,
    stage_points=len(config.reductions),
    aux_logits=True,
    labels_offset=0,
    training_only=(f'aux_{config.reductions[1] - 1}',),
  )


NETWORKS = (
  _network('pnasnet_mobile', MOBILE, 224),
  _network('pnasnet_large', LARGE, 331),
)
