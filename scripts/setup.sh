#!/usr/bin/env bash
# Makes the virtual environment that the other scripts use: .venv with the
# newest TensorFlow supported, or .venv-oldest with the oldest. Does nothing,
# quickly, when nothing has changed.
#
# Usage: bash scripts/setup.sh [--oldest] [EXTRA]
#   EXTRA    an extra of pyproject.toml to install as well: dev, gpu or
#            tensorboard
#   $PYTHON  the Python to build it from; else the first that fits of python3,
#            python3.13, python3.12, python3.11 and python3.10
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

newest_minor=13
name=.venv
constraints=constraints/newest.txt
if [[ ${1-} == --oldest ]]; then
  shift
  newest_minor=12 # TensorFlow 2.16 knows no later Python.
  name=.venv-oldest
  constraints=constraints/oldest.txt
fi
extra=${1:-base}
case $extra in
  base | dev | gpu | tensorboard) ;;
  *) fail "unknown extra '$extra'; there are dev, gpu and tensorboard." ;;
esac

# Everything below is relative to the checkout, wherever this is called from.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
python=$name/bin/python
stamp=$name/installed # fingerprint, extras, checkout: one line each
needed_mib=4000       # 2.5 GiB installed, and the archives while unpacking

# version PYTHON: prints 3.12 if that Python runs.
version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

fits() {
  [[ $1 == 3.* ]] && ((${1#3.} >= 10 && ${1#3.} <= newest_minor))
}

# What the environment is made from; another one means installing again.
fingerprint() {
  { cat "$constraints" pyproject.toml && "$python" --version; } | cksum
}

# line N: prints that line of the stamp, or nothing.
line() {
  if [[ -f $stamp ]]; then sed -n "${1}p" "$stamp"; fi
}

# Whether the environment has the Python that $PYTHON asks for, if it does.
as_asked() {
  [[ -z ${PYTHON-} || $(version "$PYTHON") == "$(version "$python")" ]]
}

up_to_date() {
  [[ -f $stamp && -x $python ]] || return 1
  [[ $(line 3) == "$root" && " $(line 2) " == *" $extra "* ]] || return 1
  [[ $(line 1) == "$(fingerprint)" ]] || return 1
  as_asked
}

# Whether pip can bring what is there up to date.
repairable() {
  [[ -x $python ]] && fits "$(version "$python")" || return 1
  [[ ! -f $stamp || $(line 3) == "$root" ]] || return 1
  as_asked && "$python" -m pip --version >/dev/null 2>&1
}

# Sets `base` to the Python to build from.
find_python() {
  local candidate found seen=''
  if [[ -n ${PYTHON-} ]]; then
    found=$(version "$PYTHON") || fail "\$PYTHON is '$PYTHON', which does not run."
    fits "$found" || fail "\$PYTHON is '$PYTHON', a Python $found;" \
      "3.10 to 3.$newest_minor is needed."
    base=$PYTHON
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    found=$(version "$candidate") || continue
    if fits "$found"; then
      base=$candidate
      return
    fi
    seen+=" $candidate is $found;"
  done
  fail "no Python 3.10 to 3.$newest_minor here (${seen:- python3 is not on PATH;}" \
    "that is not enough). Install one, or name it: PYTHON=/path/to/python3.12"
}

check_venv_module() {
  "$base" -c 'import ensurepip, venv' 2>/dev/null && return
  fail "$base lacks its modules venv and pip. On Debian and Ubuntu:" \
    "apt install python$(version "$base")-venv; elsewhere install pip for it."
}

free_mib() { df -Pm . | awk 'NR == 2 { print $4 }'; }

check_disk() {
  local free
  free=$(free_mib)
  ((free >= needed_mib)) || fail "only $free MiB are free in $root;" \
    "$needed_mib MiB are needed for TensorFlow. Make room and run again."
}

make_venv() {
  find_python
  check_venv_module
  check_disk
  say "making $name with Python $(version "$base")"
  "$base" -m venv --clear "$name" >&2 ||
    fail "$base could not make the environment; its own message is above."
}

pip_install() {
  local quiet=--quiet
  if [[ -t 2 ]]; then quiet=--progress-bar=on; fi
  # A user-wide `pip install --user` setting contradicts an environment.
  PIP_USER=0 "$python" -m pip install --disable-pip-version-check \
    "$quiet" --constraint "$constraints" "$@" >&2 && return
  local free
  free=$(free_mib)
  ((free >= 500)) || fail "the disk is full: $free MiB are free in $root."
  fail "installing failed; pip's own message is above. If it could not" \
    "connect, look at the network, https_proxy or PIP_INDEX_URL; run again to" \
    "go on."
}

# install EXTRAS: with those of an earlier run, so that two uses of one
# environment do not take turns undoing each other.
install() {
  local named=${1#base} # 'base dev gpu' -> ' dev gpu' -> 'dev,gpu'
  named=${named# }
  named=${named// /,}
  say "installing TensorFlow and the rest; the first time takes some minutes"
  # setuptools first, pinned too: pip would fetch any version to build with.
  pip_install setuptools
  pip_install --no-build-isolation --editable ".${named:+[$named]}"
}

# Two runs at once would install into one another's half-made environment.
# The lock is on this file, so that it leaves none behind.
if command -v flock >/dev/null; then
  exec 9<scripts/setup.sh
  flock --nonblock 9 || {
    say 'another set-up is running here; waiting for it'
    flock 9
  }
fi

if up_to_date; then exit; fi
extras=$(line 2)
extras=${extras:-base}
[[ " $extras " == *" $extra "* ]] || extras+=" $extra"
if ! repairable; then make_venv; fi
rm -f "$stamp"
install "$extras"
{ fingerprint && printf '%s\n' "$extras" "$root"; } >"$stamp.new"
mv "$stamp.new" "$stamp"
say "$name is ready"
