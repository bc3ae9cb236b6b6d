#!/usr/bin/env bash
# Trains on four machines with four GPUs each: an example of a SLURM job.
#
# Usage: sbatch scripts/cluster/slurm.sh --dataset_dir=... --train_dir=... [...]
# in the checkout. All machines must have access to it and to both folders.
#
#SBATCH --job-name=train-slim
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --requeue
# SIGTERM saves a checkpoint: a requeued or resubmitted job resumes from it.
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
set -euo pipefail

port=${WORKER_PORT:-2222}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/\$/:$port/" \
  | paste -s -d , -)

# SLURM sets the number of each task, so the tasks expand it. SLURM must not kill
# the others when one ends: after a signal the chief is still saving, and when a
# worker is lost the others end by themselves.
# shellcheck disable=SC2016
exec srun --kill-on-bad-exit=0 bash -c '
  hosts=$1
  shift
  exec bash scripts/run.sh train_image_classifier.py \
    --worker_hosts="$hosts" --task="$SLURM_PROCID" --num_clones=4 "$@"
' train "$hosts" "$@"
