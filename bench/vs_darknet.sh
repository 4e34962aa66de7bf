#!/usr/bin/env bash
# rook beside Debian's darknet: vs_darknet.py with the first Python that has numpy. Skipped with a word where either is
# missing. Arguments are those of vs_darknet.py.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
darknet=$(command -v "${DARKNET:-darknet}" || command -v /usr/bin/darknet) || {
  echo "vs_darknet: skipped: darknet is not installed (apt-get install darknet)" >&2
  exit 0
}
for python in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
  if "$python" -c 'import numpy' >/dev/null 2>&1; then
    DARKNET=$darknet exec "$python" bench/vs_darknet.py "$@"
  fi
done
echo "vs_darknet: skipped: there is no Python with numpy (apt-get install python3-numpy)" >&2
