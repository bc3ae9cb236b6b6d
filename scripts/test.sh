#!/usr/bin/env bash
# Installs the test dependencies, then lints the code and runs the tests.
#
# Usage: bash scripts/test.sh [--all] [pytest arguments]
#   --all             run the slow tests as well
#   $SLIM_TEST_DATA   the folder of real photos, weights and records; without
#                     it, the tests that need them are skipped
#   $SLIM_TEST_JOBS   number of parallel tests (default: processors, up to 4)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
selection=(-m 'not slow')
if [[ ${1-} == --all ]]; then
  shift
  selection=()
fi
if [[ -z ${SLIM_TEST_DATA-} && -d $root/../shared/data ]]; then
  SLIM_TEST_DATA=$(cd "$root/../shared/data" && pwd)
  export SLIM_TEST_DATA
fi

bash "$root/scripts/setup.sh" dev
python=$root/.venv/bin/python
cd "$root"
"$python" -m ruff check
"$python" -m ruff format --check
"$python" -m mypy

# Tests run in parallel; by default, TensorFlow would start a thread for each
# processor in each of them.
export TF_NUM_INTRAOP_THREADS=${TF_NUM_INTRAOP_THREADS:-1}
# tests/conftest.py decides which tests share a process.
exec "$python" -m pytest -n "${SLIM_TEST_JOBS:-auto}" --maxprocesses=4 \
  --dist=loadscope ${selection[@]+"${selection[@]}"} "$@"
