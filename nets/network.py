"""What the catalogue knows of one network."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from tf_compat import tf

EndPoints = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Network:
  """Everything that is keyed by a network's name.

  Attributes:
    name: what --model_name says.
    build: build(images [N, H, W, C], num_classes, is_training, **kwargs) ->
      logits [N, num_classes], end points; num_classes=0 gives the features
      before the classifier.
    arg_scope: arg_scope(weight_decay) -> slim arg scope.
    image_size: height and width it is trained and evaluated at unless told
      otherwise, pixels.
    min_image_size: smallest height and width that leave a feature map.
    preprocessing: name of the recipe that makes its input.
    attention_points: blocks that may end in attention.
    stage_points: stages that may; one point more is before the classifier.
    strides: which unit of a stage strides, and in which convolution, where
      there is a choice: multiply-adds depend on it.
    aux_logits: whether training adds an end point AuxLogits.
    labels_offset: what its published checkpoints add to labels counted with a
      background class: 1 where they know 1000 classes, 0 where 1001, None
      where none were published.
    channels: of its input; None takes as many as the data has.
    aliases: (pattern, replacement) pairs of re.sub that turn the names of
      variables in some checkpoints of this network into today's.
    training_only: variable scopes that exist only in training. Its checkpoints
      carry them, and evaluation leaves them out.
  """

  name: str
  build: Callable[..., tuple[tf.Tensor, EndPoints]]
  arg_scope: Callable[[float], dict[str, Any]]
  image_size: int
  min_image_size: int
  preprocessing: str
  attention_points: int
  stage_points: int
  strides: str = ''
  aux_logits: bool = False
  labels_offset: int | None = None
  channels: int | None = 3
  aliases: tuple[tuple[str, str], ...] = ()
  training_only: tuple[str, ...] = ()

  def own_name(self, name: str) -> str:
    """Today's name of a checkpoint's variable."""
    for pattern, replacement in self.aliases:
      name = re.sub(pattern, replacement, name)
    return name
