#!/usr/bin/env bash
# Times rook beside the rivals that are installed; `./run bench` calls it. Results go to bench/results/*.json, and the
# tables are printed at the end. Arguments go to every script (--rounds, --steps).
#   ROOK     program to measure (build/release/rook)
#   PYTHON   interpreter that has torch or cv2 (otherwise the first of python3 and /usr/bin/python3 that does)
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export ROOK=${ROOK:-$PWD/build/release/rook}

say() { printf '%s\n' "bench: $*" >&2; }

# python_with MODULE: an interpreter that can import it, and numpy.
python_with() {
  local python
  for python in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
    if "$python" -c "import numpy, $1" >/dev/null 2>&1; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

if ! python_with torch >/dev/null && ! python_with cv2 >/dev/null; then
  say "neither PyTorch (python3-torch) nor OpenCV (python3-opencv) is installed: rook alone"
  "$ROOK" bench train --batch 8 --classes 12
  "$ROOK" bench net
  "$ROOK" bench net --arch yolo-fastest-1.1-xl
  exit
fi

tables=$(mktemp)
trap 'rm -f "$tables"' EXIT
failed=()

# measure PYTHON SCRIPT ARGUMENTS...: its progress goes to the terminal, its table is kept for the end.
measure() {
  local python=$1
  shift
  say "$*"
  "$python" "$@" >>"$tables" || failed+=("$*")
}

if python=$(python_with torch); then
  measure "$python" bench/vs_torch.py train "$@"
  measure "$python" bench/vs_torch.py memory "$@"
  measure "$python" bench/vs_torch.py infer "$@"
  measure "$python" bench/vs_torch.py infer --arch yolo-fastest-1.1-xl "$@"
else
  say "PyTorch is not installed (python3-torch): skipped"
fi
if python=$(python_with cv2); then
  measure "$python" bench/vs_opencv.py "$@"
  measure "$python" bench/vs_opencv.py --arch yolo-fastest-1.1-xl "$@"
else
  say "OpenCV is not installed (python3-opencv): skipped"
fi

cat "$tables"
if ((${#failed[@]})); then
  printf 'bench: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
