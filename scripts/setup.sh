#!/usr/bin/env bash
# Creates the virtual environment of the other scripts: .venv with the newest
# supported TensorFlow, or .venv-oldest with the oldest. Returns at once if the
# environment is up to date.
#
# Usage: bash scripts/setup.sh [--oldest] [EXTRA]
#   EXTRA    an extra of pyproject.toml to install as well: dev, docs, export, gpu
#            or tensorboard
#   $PYTHON  the Python to create it with (default: the first supported one of
#            python3, python3.13, python3.12, python3.11 and python3.10)
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

newest_minor=13
name=.venv
constraints=constraints/newest.txt
if [[ ${1-} == --oldest ]]; then
  shift
  newest_minor=12 # TensorFlow 2.16 does not support later Pythons.
  name=.venv-oldest
  constraints=constraints/oldest.txt
fi
extra=${1:-base}
case $extra in
  base | dev | docs | export | gpu | tensorboard) ;;
  *) fail "unknown extra '$extra'; known: dev, docs, export, gpu, tensorboard." ;;
esac

# All paths below are relative to the checkout.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
python=$name/bin/python
stamp=$name/installed # three lines: fingerprint, extras, checkout
needed_mib=4000       # 2.5 GiB installed, plus the archives while unpacking

# version PYTHON: prints its version, such as 3.12; fails if it does not run.
version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# is_supported VERSION: whether TensorFlow supports this Python.
is_supported() {
  [[ $1 == 3.* ]] && ((${1#3.} >= 10 && ${1#3.} <= newest_minor))
}

# fingerprint: prints a checksum of everything that the environment depends on.
fingerprint() {
  { cat "$constraints" pyproject.toml && "$python" --version; } | cksum
}

# line N: prints that line of the stamp, or nothing.
line() {
  if [[ -f $stamp ]]; then sed -n "${1}p" "$stamp"; fi
}

# matches_python: whether the environment has the version of $PYTHON, if set.
matches_python() {
  [[ -z ${PYTHON-} || $(version "$PYTHON") == "$(version "$python")" ]]
}

# is_current: whether nothing needs to be installed.
is_current() {
  [[ -f $stamp && -x $python ]] || return 1
  [[ $(line 3) == "$root" && " $(line 2) " == *" $extra "* ]] || return 1
  [[ $(line 1) == "$(fingerprint)" ]] || return 1
  matches_python
}

# is_repairable: whether pip can update the environment that exists.
is_repairable() {
  [[ -x $python ]] && is_supported "$(version "$python")" || return 1
  [[ ! -f $stamp || $(line 3) == "$root" ]] || return 1
  matches_python && "$python" -m pip --version >/dev/null 2>&1
}

# find_python: sets `base` to the Python to create the environment with.
find_python() {
  local candidate actual rejected=''
  if [[ -n ${PYTHON-} ]]; then
    actual=$(version "$PYTHON") || fail "\$PYTHON is '$PYTHON', which does not run."
    is_supported "$actual" || fail "\$PYTHON is '$PYTHON', a Python $actual;" \
      "3.10 to 3.$newest_minor is needed."
    base=$PYTHON
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    actual=$(version "$candidate") || continue
    if is_supported "$actual"; then
      base=$candidate
      return
    fi
    rejected+=" $candidate is $actual;"
  done
  rejected=${rejected:- python3 is not on PATH;}
  rejected=${rejected# }
  fail "no Python 3.10 to 3.$newest_minor here (${rejected%;})." \
    "Install one, or name it: PYTHON=/path/to/python3.12"
}

check_venv_module() {
  "$base" -c 'import ensurepip, venv' 2>/dev/null && return
  fail "$base lacks the modules venv and ensurepip. On Debian and Ubuntu:" \
    "apt install python$(version "$base")-venv; elsewhere install pip for it."
}

free_mib() { df -Pm . | awk 'NR == 2 { print $4 }'; }

check_disk() {
  local free
  free=$(free_mib)
  ((free >= needed_mib)) || fail "only $free MiB are free in $root;" \
    "$needed_mib MiB are needed for TensorFlow. Free some space and run again."
}

make_venv() {
  # What a link leads to may be the environment of another checkout.
  [[ ! -L $name ]] || fail "$root/$name is a link to $(readlink "$name");" \
    "remove the link, and run again."
  find_python
  check_venv_module
  check_disk
  say "creating $name with Python $(version "$base")"
  "$base" -m venv --clear "$name" >&2 ||
    fail "$base could not create the environment; see its message above."
}

pip_install() {
  local quiet=--quiet
  if [[ -t 2 ]]; then quiet=--progress-bar=on; fi
  # pip refuses a user-wide setting of --user in a virtual environment.
  PIP_USER=0 "$python" -m pip install --disable-pip-version-check \
    "$quiet" --constraint "$constraints" "$@" >&2 && return
  local free
  free=$(free_mib)
  ((free >= 500)) || fail "the disk is full: $free MiB are free in $root."
  fail "installing failed; see pip's message above. If it could not connect," \
    "check the network, https_proxy or PIP_INDEX_URL; then run again."
}

# install EXTRAS: installs the project. EXTRAS includes those of earlier runs, so
# that two users of one environment do not undo each other's extras.
install() {
  local extras=${1#base} # 'base dev gpu' -> ' dev gpu' -> 'dev,gpu'
  extras=${extras# }
  extras=${extras// /,}
  # The tests export models too.
  if [[ $name == .venv ]]; then extras=${extras/dev/dev,export}; fi
  say "installing TensorFlow and other packages; the first time takes minutes"
  # Pinned and first, since pip would build with any version of setuptools.
  pip_install setuptools
  pip_install --no-build-isolation --editable ".${extras:+[$extras]}"
}

# Without a lock, two runs would install into the same incomplete environment.
# The lock is on the constraints, so that no lock file is left behind.
if command -v flock >/dev/null; then
  exec 9<"$constraints"
  flock --nonblock 9 || {
    say 'another setup is running here; waiting for it'
    flock 9
  }
fi

if is_current; then exit; fi
extras=$(line 2)
extras=${extras:-base}
[[ " $extras " == *" $extra "* ]] || extras+=" $extra"
if ! is_repairable; then make_venv; fi
rm -f "$stamp"
install "$extras"
{ fingerprint && printf '%s\n' "$extras" "$root"; } >"$stamp.new"
mv "$stamp.new" "$stamp"
say "$name is ready"
