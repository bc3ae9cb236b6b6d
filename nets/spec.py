"""The spec of a network: everything the programs know about it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from tf_compat import tf

# Name -> tensor [N, …].
EndPoints = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
  """An entry of the table of networks.

  Attributes:
    name: value of --model_name.
    build: build(images [N, H, W, C], num_classes, is_training, **kwargs) ->
      logits [N, num_classes], end points; num_classes=0 returns the features
      before the classifier.
    arg_scope: arg_scope(weight_decay) -> slim arg scope.
    image_size: default height and width for training and evaluation, pixels.
    min_image_size: smallest supported height and width, pixels.
    preprocessing: name of the default preprocessing.
    attention_points: number of attention points at the ends of blocks.
    stage_points: number of attention points at the ends of stages. One further
      point is before the classifier.
    inner_points: number of attention points between a block's spatial and its
      next convolution; 0 if blocks are not built of such ones.
    conv_points: number of attention points before the norm of a block's spatial
      convolution.
    strides: which unit and convolution of a stage stride, if that differs
      within the family; the multiply-adds depend on it.
    aux_logits: whether training adds an end point AuxLogits.
    labels_offset: --labels_offset for the published checkpoints on ImageNet's
      1001 labels: 1 if they have 1000 classes, 0 if they have 1001; None if no
      checkpoint was published.
    channels: channels of the images; None if any number is supported.
    aliases: (pattern, replacement) pairs of re.sub that convert variable names
      of older checkpoints to current ones.
    training_only: variable scopes that exist only in training. Checkpoints
      contain them, but evaluation does not read them.
  """

  name: str
  build: Callable[..., tuple[tf.Tensor, EndPoints]]
  arg_scope: Callable[[float], dict[str, Any]]
  image_size: int
  min_image_size: int
  preprocessing: str
  attention_points: int
  stage_points: int
  inner_points: int = 0
  conv_points: int = 0
  strides: str = ''
  aux_logits: bool = False
  labels_offset: int | None = None
  channels: int | None = 3
  aliases: tuple[tuple[str, str], ...] = ()
  training_only: tuple[str, ...] = ()

  def own_name(self, name: str) -> str:
    """Returns the current name of a checkpoint's variable."""
    for pattern, replacement in self.aliases:
      name = re.sub(pattern, replacement, name)
    return name
