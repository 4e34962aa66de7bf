#!/usr/bin/env bash
# Times rook by itself and beside the rivals that are installed, and makes one report of it; `./run bench` calls it.
#
#   run.sh [--quick] [--install] [FLAGS]
#
#   --quick     one short round of everything: shows that it runs, and times that are worth little. They and their page go
#               to build/bench-quick, and README.md stays as it is
#   --install   first install the rivals that are missing: Debian packages, and onnxruntime from PyPI into build/rivals
#   FLAGS       go to every comparison: --rounds N, --steps N
#
# Figures go to bench/results/*.json, the table into README.md between its markers, the page to
# bench/results/report.html.
#   ROOK     program to measure (build/release/rook)
#   PYTHON   interpreter that has torch, cv2 or onnxruntime (otherwise the first of build/rivals, python3 and
#            /usr/bin/python3 that does)
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export ROOK=${ROOK:-$PWD/build/release/rook}

say() { printf '%s\n' "bench: $*" >&2; }

# python_with MODULE: an interpreter that can import it, and numpy.
python_with() {
  local python
  for python in ${PYTHON:+"$PYTHON"} build/rivals/bin/python python3 /usr/bin/python3; do
    if "$python" -c "import numpy, $1" >/dev/null 2>&1; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

install_rivals() {
  local as_root=()
  ((EUID == 0)) || as_root=(sudo)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 install -y \
    --no-install-recommends python3-numpy python3-torch python3-opencv python3-venv darknet \
    </dev/null || say "not all Debian packages could be installed"
  python_with onnxruntime >/dev/null && return
  /usr/bin/python3 -m venv --system-site-packages build/rivals &&
    build/rivals/bin/pip install --no-deps onnxruntime || say "onnxruntime could not be installed"
}

SECONDS=0 readme=README.md page=bench/results/report.html
flags=() steps=()
ops=(--seconds 0.1 --batch 1,8)  # batch 64 alone would take as long as all the rest
while (($#)); do
  case $1 in
    --quick)
      flags+=(--rounds 1 --steps 2)
      readme='' page=build/bench-quick/report.html
      export ROOK_BENCH_RESULTS=$PWD/build/bench-quick
      ops=(--seconds 0.02 --batch 1 --arch yolov4-tiny)
      steps=(--steps 2 --batch 1)
      ;;
    --install) install_rivals ;;
    *) flags+=("$1") ;;
  esac
  shift
done

if ! numpy=$(python_with sys); then
  say "no Python with numpy (python3-numpy): rook alone, and no report"
  "$ROOK" bench net --starts 5
  "$ROOK" bench net --arch yolo-fastest-1.1-xl
  "$ROOK" bench train --batch 8 --classes 12 --parts
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ROOK_BENCH_LIST=$work/files
touch "$ROOK_BENCH_LIST" "$work/tables"
failed=()

# measure COMMAND...: its progress goes to the terminal, its table is kept for the end.
measure() {
  say "$((SECONDS / 60)) min: $*"
  "$@" >>"$work/tables" || failed+=("$*")
}

# compare MODULE SCRIPT ARGUMENTS...: a comparison, where there is a Python with the module.
compare() {
  local python module=$1
  shift
  if python=$(python_with "$module"); then
    measure "$python" "$@" "${flags[@]}"
  else
    say "$module is not installed (--install): skipped: $*"
  fi
}

networks=(yolov4-tiny yolo-fastest-1.1-xl)
for network in "${networks[@]}"; do
  compare torch bench/vs_torch.py infer --arch "$network"
  compare cv2 bench/vs_opencv.py --arch "$network"
  compare onnxruntime bench/vs_onnxruntime.py --arch "$network"
done
for network in "${networks[@]}"; do
  compare torch bench/vs_torch.py train --arch "$network" --steps 4
done
compare torch bench/vs_torch.py memory
compare torch bench/vs_torch.py ops
measure bench/vs_darknet.sh "${flags[@]}"
measure "$numpy" bench/rook_alone.py net "${steps[@]}"
measure "$numpy" bench/rook_alone.py train "${steps[@]}"
measure "$numpy" bench/rook_alone.py ops "${ops[@]}"

cat "$work/tables"
mapfile -t files <"$ROOK_BENCH_LIST"
((${#files[@]})) && "$numpy" bench/report.py ${readme:+--readme "$readme" --operations bench/operations.md} --html "$page" "${files[@]}"
say "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
if ((${#failed[@]})); then
  printf 'bench: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
