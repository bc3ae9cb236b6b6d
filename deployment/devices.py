"""The session's settings: memory, placement, reduced precision and XLA."""

from tf_compat import tf

# Grappler's rewriter for each precision: the first is for CPUs, the second for
# GPUs.
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
) -> tf.ConfigProto:
  """How a session uses its device.

  Args:
    mixed_precision: None or 'float32', 'bfloat16', 'float16': what grappler
      may compute in where it keeps the results sound.
    cpu_only: hide the GPUs.
    cpus: into how many logical ones the CPU is divided, for clones on it.
    xla: compile what XLA can of the graph, where the device is a GPU.
    served: the session is a server's, of this process or another.
  """
  config = tf.ConfigProto(allow_soft_placement=True)
  if cpu_only:
    config.device_count['GPU'] = 0
    config.device_count['CPU'] = cpus
  # An evaluating process beside the training one needs memory too.
  config.gpu_options.allow_growth = True
  rewriter = _REWRITERS.get(mixed_precision or '')
  if rewriter:
    rewrite = config.graph_options.rewrite_options
    setattr(rewrite, rewriter, rewrite.ON)
    if served and mixed_precision == 'bfloat16':
      # A server refuses fused operations in bfloat16, which are oneDNN's own.
      rewrite.remapping = rewrite.OFF
  if xla:
    options = config.graph_options.optimizer_options
    options.global_jit_level = tf.OptimizerOptions.ON_1
  return config
