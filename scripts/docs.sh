#!/usr/bin/env bash
# Builds the documentation into site/, which opens in a browser from there.
#
# Usage: bash scripts/docs.sh [serve]
#   serve  show it at http://127.0.0.1:8000 and rebuild it at each change
set -euo pipefail

if [[ $# -gt 1 || ${1-serve} != serve ]]; then
  echo "usage: bash scripts/docs.sh [serve]" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/setup.sh" docs
cd "$root"
# Hide the notice of mkdocs-material about mkdocs 2.
export NO_MKDOCS_2_WARNING=1
if [[ ${1-} == serve ]]; then
  exec .venv/bin/python -m mkdocs serve --strict
fi
exec .venv/bin/python -m mkdocs build --strict --quiet --clean
