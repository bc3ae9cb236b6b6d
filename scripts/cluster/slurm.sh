#!/usr/bin/env bash
# An example SLURM job: a worker on each of four machines with four GPUs each.
#
# Usage: sbatch scripts/cluster/slurm.sh --dataset_dir=... --train_dir=... [...]
# from the checkout, which all machines must see, as they must see both folders.
#
#SBATCH --job-name=train-slim
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --requeue
# SIGTERM saves: the job that is requeued, or submitted again, goes on from there.
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
set -euo pipefail

port=${WORKER_PORT:-2222}
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/\$/:$port/" \
  | paste -s -d , -)

# Each task is told its own number by SLURM, so it is for the tasks to expand. One
# that ends is none of SLURM's business: on a signal the first still saves then,
# and when one is lost the others end by themselves.
# shellcheck disable=SC2016
exec srun --kill-on-bad-exit=0 bash -c '
  hosts=$1
  shift
  exec bash scripts/run.sh train_image_classifier.py \
    --worker_hosts="$hosts" --task="$SLURM_PROCID" --num_clones=4 "$@"
' train "$hosts" "$@"
