"""The jobs: flags to frozen job, training, evaluation, checkpoints."""
