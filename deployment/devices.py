"""The configuration of sessions: memory, placement, precision and XLA."""

from __future__ import annotations

from tf_compat import tf

# Grappler's rewriter for each precision: bfloat16 for CPUs, float16 for GPUs.
_REWRITERS = {
  'bfloat16': 'auto_mixed_precision_onednn_bfloat16',
  'float16': 'auto_mixed_precision',
}


def session_config(
  mixed_precision: str | None = None,
  cpu_only: bool = False,
  cpus: int = 1,
  xla: bool = False,
  served: bool = False,
  single_images: bool = False,
) -> tf.ConfigProto:
  """Returns the configuration with which a session uses its devices.

  Args:
    mixed_precision: None or 'float32' for full precision; 'bfloat16' or
      'float16' for the precision that grappler uses where it is numerically
      safe.
    cpu_only: whether to hide the GPUs.
    cpus: number of logical CPUs, one for each clone on the CPU.
    xla: whether to compile the graph with XLA where it can, on GPUs.
    served: whether the session runs in a TensorFlow server, of this process or
      another.
    single_images: whether it runs batch norm on batches of one image.
  """
  config = tf.ConfigProto(allow_soft_placement=True)
  if cpu_only:
    config.device_count['GPU'] = 0
    config.device_count['CPU'] = cpus
  # An evaluation beside the training needs GPU memory too.
  config.gpu_options.allow_growth = True
  rewrite = config.graph_options.rewrite_options
  # A second pass of all optimizations takes as long as the first, seconds for
  # large networks, and makes no step faster.
  rewrite.meta_optimizer_iterations = rewrite.ONE
  # Networks have no loops, and no branches that are worth the search.
  rewrite.loop_optimization = rewrite.OFF
  rewrite.experimental_conditional_code_motion = rewrite.OFF
  if cpu_only or not tf.config.list_physical_devices('GPU'):
    # Only GPUs gain by swapping to the CPU and by moving channels first.
    rewrite.memory_optimization = rewrite.NO_MEM_OPT
    rewrite.layout_optimizer = rewrite.OFF
  rewriter = _REWRITERS.get(mixed_precision or '')
  if rewriter:
    setattr(rewrite, rewriter, rewrite.ON)
    if served and mixed_precision == 'bfloat16':
      # Servers refuse fused operations in bfloat16, which only oneDNN has.
      rewrite.remapping = rewrite.OFF
  if single_images:
    # For one image, oneDNN's convolution with fused batch norm takes ten times as
    # long as the two.
    rewrite.remapping = rewrite.OFF
  if xla:
    options = config.graph_options.optimizer_options
    options.global_jit_level = tf.OptimizerOptions.ON_1
  return config
