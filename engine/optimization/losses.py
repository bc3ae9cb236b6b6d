"""Losses that --loss can name.

A loss compares logits with targets, the shares of the classes that a network is
trained to predict: one class, or several where images are mixed or labels are
smoothed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from options import Options, option
from registry import Table
from tf_compat import tf


def _softmax(
  options: LossOptions, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
  """-Σ t · log p, p = softmax(logits)."""
  del options
  return tf.nn.softmax_cross_entropy_with_logits_v2(targets, logits)


def _bce(
  options: LossOptions, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
  """-Σ t · log p + (1 - t) · log(1 - p), p = sigmoid(logits).

  Each class against the rest (arXiv:2110.00476). The sum over the classes has
  gradients of the size of softmax's; some projects take their mean.
  """
  del options
  losses = tf.nn.sigmoid_cross_entropy_with_logits(
    labels=targets, logits=logits
  )
  return tf.reduce_sum(losses, 1)


def _focal(
  options: LossOptions, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
  """-α · Σ t · (1 - p)^γ · log p, p = softmax(logits) (arXiv:1708.02002)."""
  log_p = tf.nn.log_softmax(logits)
  # 1 - p, of which the gradient of a power below 1 must not meet 0.
  rest = tf.maximum(-tf.math.expm1(log_p), 1e-7)
  focus = tf.pow(rest, options.focal_gamma)
  return -options.focal_alpha * tf.reduce_sum(targets * focus * log_p, 1)


@dataclasses.dataclass(frozen=True)
class Loss:
  """An entry of LOSSES: value(options, logits, targets) -> the loss, [N].

  Logits and targets are float32 [N, C].
  """

  name: str
  value: Callable[[LossOptions, tf.Tensor, tf.Tensor], tf.Tensor]


LOSSES = Table(
  'loss',
  (Loss('softmax', _softmax), Loss('bce', _bce), Loss('focal', _focal)),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossOptions(Options):
  """Options that choose and configure the loss."""

  loss: str = option(
    'softmax',
    'The loss: softmax is cross-entropy; bce tells each class from the rest by '
    'a sigmoid, and adds up over the classes; focal is cross-entropy in which '
    'records that are predicted well count less.',
    known=LOSSES,
    group='optimization',
  )
  label_smoothing: float = option(
    0.0,
    'Share of each label that is spread over all classes.',
    lower=0,
    upper=1,
    group='optimization',
  )
  focal_gamma: float = option(
    2.0,
    'Gamma of --loss=focal: the larger, the less do records count that are '
    'predicted well; 0 is softmax.',
    lower=0,
    group='advanced',
  )
  focal_alpha: float = option(
    1.0,
    'Alpha of --loss=focal, a factor; --class_weights has one for each class.',
    above=0,
    group='advanced',
  )


def add(
  options: LossOptions,
  logits: tf.Tensor,
  targets: tf.Tensor,
  weight: float = 1.0,
  class_weights: tf.Tensor | None = None,
) -> tf.Tensor:
  """Adds the mean loss of a batch to the graph's losses, and returns it.

  mean(weight · Σ target · class_weight · loss), where the share that label
  smoothing spreads does not count for the class weights.

  Args:
    options: name the loss and the smoothing.
    logits: float [N, C].
    targets: the shares of the classes, float32 [N, C].
    weight: a factor, such as that of an auxiliary classifier.
    class_weights: float32 [C]; None weighs all classes alike.
  """
  spec = LOSSES[options.loss]
  with tf.name_scope(f'{spec.name}_loss'):
    weights = tf.constant(weight)
    if class_weights is not None:
      weights *= tf.linalg.matvec(targets, class_weights)
    if smoothing := options.label_smoothing:
      targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
    values = spec.value(options, tf.cast(logits, tf.float32), targets)
    return tf.losses.compute_weighted_loss(
      values, weights, reduction=tf.losses.Reduction.SUM_OVER_BATCH_SIZE
    )
