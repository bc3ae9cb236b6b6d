#!/usr/bin/env bash
# Sets up what tests need, then lints and runs the suite.
#
# Usage: bash scripts/test.sh [--all] [pytest arguments]
#   --all             the long tests as well
#   $SLIM_TEST_DATA   the folder of real photos, weights and records; without
#                     it the tests that need them are left out
#   $SLIM_TEST_JOBS   how many tests run at once (default: processors, up to 4)
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

# One test's operations on one thread each: the tests themselves run side by
# side, and TensorFlow would start a thread per processor in each of them.
export TF_NUM_INTRAOP_THREADS=${TF_NUM_INTRAOP_THREADS:-1}
# tests/conftest.py says which tests stay together.
exec "$python" -m pytest -n "${SLIM_TEST_JOBS:-auto}" --maxprocesses=4 \
  --dist=loadgroup ${selection[@]+"${selection[@]}"} "$@"
