#!/usr/bin/env bash
# The whole story of docs/transfer-learning.md, command by command: photos, versions, three trainings, comparison, an API,
# labels for photos to come, a benchmark. `docs/story.sh --help` says how.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
repository=$(dirname "$here")

usage() {
  cat <<'TEXT'
usage: docs/story.sh [--small] [--write] [--again] [--rook PROGRAM] [--out FOLDER] [--seed N] [--data FOLDER]

  --small         rendered photos, a small network, few epochs: under a minute; shows that every step works
  --write         put the table into docs/transfer-learning.md (not with --small)
  --again         remove what an earlier story left in the folder of --out
  --rook PROGRAM  the program (default: build/release/rook)
  --out FOLDER    a new folder for everything that is made (default: build/story)
  --seed N        of the trainings (default: 1)
  --data FOLDER   chess/{train,valid,test} and weights/, as `./run chess --download` gets them (default: $ROOK_ASSETS)

It ends with status 77 where python3 is missing, and, but for --small, where the photos are.
TEXT
}

say() { printf '\n== %s\n' "$*"; }
die() { printf 'story: %s\n' "$*" >&2; exit 1; }
skip() { printf 'story: skipped: %s\n' "$*" >&2; exit 77; }

small='' write='' again='' rook=$repository/build/release/rook out=$repository/build/story seed=1 data=${ROOK_ASSETS:-}
while (($#)); do
  case $1 in
    --small) small=1 ;;
    --write) write=1 ;;
    --again) again=1 ;;
    --rook | --out | --seed | --data)
      (($# > 1)) || die "$1 wants a value"
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ -z $small || -z $write ]] || die "--write is for the full size: figures of rendered photos say nothing"
command -v python3 >/dev/null || skip "there is no python3"
[[ -x $rook ]] || die "$rook: no such program; ./run build makes it, or name one with --rook"
[[ -n $small || -d $data/chess/train ]] ||
  skip "no photos: set ROOK_ASSETS to a folder with chess/{train,valid,test} and weights/, or take --small"
rook=$(readlink -f "$rook")
[[ -z $again || ! -f $out/story.log ]] || rm -rf "$out"
[[ ! -e $out || -z $(ls -A "$out") ]] || die "$out: exists and is not empty; name another folder with --out, or take --again"
mkdir -p "$out"
out=$(cd "$out" && pwd)
[[ -z $data ]] || data=$(readlink -f "$data")
unset ROOK_DATA
cd "$out"  # rook keeps data sets in data/ and runs in runs/
exec > >(tee story.log) 2>&1
server=''
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true' EXIT

story() { python3 "$here/story.py" "$@"; }
rook() {
  printf '$ rook %s\n' "$*"
  stdbuf -oL "$rook" "$@" </dev/null  # line by line, so that what it says and its progress stand in order
}

# ---- the photos ------------------------------------------------------------------------------------------------------
# first, more: how the photos of the beginning and those that come later are added. future: photos whose labels nobody has
# drawn yet (those of the test split, without theirs; training never sees them).

if [[ -n $small ]]; then
  say "rendered photos, and weights that were learnt on others"
  export OMP_NUM_THREADS=1  # so small a network has no work for two: they would wait for each other, long on a busy machine
  size=128 train=(--arch rook-nano --size 128 --batch 4 --eval-every 8) epochs=(--epochs 16) times=(--repetitions 5)
  rook synth chess --images 80 --size 160 --seed 1 --out rendered/first --quiet
  rook synth chess --images 30 --size 160 --seed 2 --out rendered/more --quiet
  rook synth chess --images 60 --size 160 --seed 3 --out rendered/others --quiet
  rook train --data rendered/others --from scratch "${train[@]}" --epochs 30 --seed 7 --out others
  rook weights convert others imported.weights
  imported=$out/imported.weights first=(rendered/first) more=(rendered/more/train --split train)
  test=rendered/first/test
else
  size=416 train=(--arch yolov4-tiny) epochs=() times=(--repetitions 50)
  story list_first "$data/chess" first.txt
  # One class of these photos has a single box, on a black bishop.
  first=("$data/chess" --merge bishop=black-bishop --train-list first.txt) more=("$data/chess" --merge bishop=black-bishop)
  test=$data/chess/test
  for imported in "$data"/weights/yolov4-tiny{.conv.29,.weights,-voc-rebuilt.conv.29}; do
    [[ ! -f $imported ]] || break
  done
  [[ -f $imported ]] || die "$data/weights: no yolov4-tiny weights to start from"
fi
story future "$test" future

# ---- 1. upload, and a version ----------------------------------------------------------------------------------------

say "1. upload the labelled photos; a version of them, all of one size"
rook data new chess
rook data add chess "${first[@]}"
rook data version chess --resize "${size}x$size" --stretch
rook data show chess/v1

# ---- 2. two trainings, compared --------------------------------------------------------------------------------------

say "2. one model from imported weights, one from random ones"
rook train --data chess/v1 --from "$imported" "${train[@]}" "${epochs[@]}" --seed "$seed" --out runs/transfer
rook train --data chess/v1 --from scratch "${train[@]}" "${epochs[@]}" --seed "$seed" --out runs/scratch
rook compare runs/transfer runs/scratch --split valid --out first.html

# ---- 3. more photos, and on from the own model -----------------------------------------------------------------------

say "3. more photos, a new version, on from the own model"
rook data add chess "${more[@]}"
rook data add chess "${more[@]}"  # what is there already is found, and not added twice
rook data version chess --resize "${size}x$size" --stretch
rook data diff chess/v1 v2
rook train --data chess/v2 --from runs/transfer "${train[@]}" "${epochs[@]}" --seed "$seed" --out runs/continued

# ---- 4. which is best, and is it chance ------------------------------------------------------------------------------

say "4. all three beside each other, on the same photos"
rook compare runs/transfer runs/scratch runs/continued --data chess/v2 --split valid --target 0.985 --out compare.html --json compare.json
for run in transfer scratch continued; do
  rook eval --model "runs/$run" --data chess/v2 --split test --json "test-$run.json" >/dev/null
done

# ---- 5. what it is good for ------------------------------------------------------------------------------------------

say "5a. an API"
printf '$ rook serve --model runs/continued --port 0 &\n'
"$rook" serve --model runs/continued --port 0 >serve.log 2>&1 </dev/null &
server=$!
rook detect --model runs/continued future --json detect.json --quiet
story ask "$server" serve.log future detect.json api.json
kill -TERM "$server"
wait "$server" || die "rook serve did not end well; see $out/serve.log"
server=''

say "5b. labels for photos to come: a person corrects instead of draws"
rook label proposals future --model runs/continued --format coco
story proposals proposals "$test" label.json
rook data check chess/v2 --model runs/continued --json check.json >check.txt
head -n 12 check.txt

say "5c. a benchmark"
rook bench net --arch "${train[1]}" --classes 12 --size "$size" --batch 1,8 "${times[@]}" --json bench.json

# ---- the table -------------------------------------------------------------------------------------------------------

say "the table"
story check ${small:+--small}
story table ${small:+--small} >table.md
cat table.md
if [[ -n $write ]]; then story write table.md "$here/transfer-learning.md"; fi
printf '\neverything is in %s: runs/, data/, compare.html, table.md, story.log\n' "$out"
