#!/usr/bin/env bash
# Runs a program of the checkout from any folder, in the environment that
# scripts/setup.sh created or, without one, with $PYTHON or python3.
#
# Usage: bash scripts/run.sh PROGRAM.py [--flag=value ...]
set -euo pipefail

if [[ $# -lt 1 ]]; then
  echo "usage: bash $0 PROGRAM.py [--flag=value ...]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
if [[ ! -x $python ]]; then python=${PYTHON:-python3}; fi
program=$1
shift
exec "$python" "$root/$program" "$@"
