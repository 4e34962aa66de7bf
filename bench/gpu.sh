#!/usr/bin/env bash
# Builds, tests and measures rook on a machine with an NVIDIA GPU; `./run gpu` calls it. docs/gpu.md says what each step
# does. A step that fails hides none of the later ones. Logs and figures gather in build/gpu until the next step `build`;
# the table of all that is there goes to bench/results/GPU-DATE.{json,md}. With OUT set to a folder all of this is there
# as well, as it comes: who is stopped half-way has what there was.
#   PYTHON     interpreter with numpy, and PyTorch for the step `torch`
#   PATIENCE   factor of the time limits
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export PYTHON=${PYTHON:-python3} PRESET=cuda TARGETS="rook test_emu test_model" ROOK=$PWD/build/cuda/rook
export OMP_WAIT_POLICY=passive  # threads that spin while the GPU works would take its driver's cores
work=build/gpu
all_steps=(build test groups libraries model sanitize diff train bench torch)
# Seconds. Each line of steps stays below ten minutes together: docs/gpu.md has a call for each.
declare -A limits=([build]=330 [test]=180 [groups]=70
  [libraries]=70 [model]=70 [sanitize]=170 [diff]=80 [train]=130
  [bench]=230 [torch]=260)
group_limit=15 sanitizer_limit=80  # of one process of the steps `groups` and `sanitize`
readonly skipped=77  # exit status of a step that cannot be done here; its last line says why
readonly libraries="*libraries' rows*"  # the one case of libraries that are not ours

say() { printf '%s\n' "gpu: $*" >&2; }
die() { say "$*"; exit 1; }
skip() { say "skipped: $*"; exit "$skipped"; }
note() { say "note: $*"; }  # as the last words of a step that passes: they stand in the table
gpu_py() { "$PYTHON" bench/gpu.py "$@"; }
patient() { echo $(($1 * ${PATIENCE:-1})); }

# ---- the steps, each in a process of its own ------------------------------------------------------------------------

step_build() {
  local options=(ROOK_EMU=ON "Python3_EXECUTABLE=$(command -v "$PYTHON")") capability library missing=()
  if capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1); then
    options+=("ROOK_CUDA_ARCHITECTURES=${capability/./}")  # for this GPU alone: half the time
  fi
  ./run build "${options[@]}"
  for library in cudnn cublas; do
    grep -q "^ROOK_ROWS_$library:INTERNAL=ON\$" build/cuda/CMakeCache.txt || missing+=("$library")
  done
  ((${#missing[@]} == 0)) ||
    note "BUILT WITHOUT THE ROWS OF ${missing[*]}: no headers were found (pip install nvidia-cudnn-cu13 nvidia-cublas)"
}

# on_gpu NAME PROGRAM ARGUMENTS...: tests on the GPU. The cases that need one are those that fail when it is hidden: as
# many must pass when it is not.
on_gpu() {
  local name=$1 status=0
  shift
  [[ -x $1 ]] || die "$1 was not built"
  CUDA_VISIBLE_DEVICES='' ROOK_TEST_DEVICE=cuda "$@" >"$work/$name-hidden.log" 2>&1 || true
  ROOK_TEST_DEVICE=cuda "$@" --duration=true 2>&1 | tee "$work/$name-shown.log" || status=$?
  gpu_py cases "$work/$name-hidden.log" "$work/$name-shown.log" >"$work/cases-$name.json"
  ((status == 0)) || die "tests fail on this GPU"
}

step_test() { on_gpu test build/cuda/test_emu "--test-case-exclude=$libraries"; }
step_libraries() { on_gpu libraries build/cuda/test_emu "--test-case=$libraries"; }
step_model() { on_gpu model build/cuda/test_model --test-suite=gpu; }

# After an error that spoils the process for all later cases, or a crash: the tests by groups, each in a process of its
# own, to see which of them it was.
step_groups() {
  local why group filter exclude failed=()
  why=$(gpu_py spoilt "$work/test-shown.log") || skip "$why"
  say "$why"
  while IFS=$'\t' read -r group filter exclude; do
    say "group $group"
    # In the foreground, so that it ends with this step.
    ROOK_TEST_DEVICE=cuda timeout --foreground --signal=KILL "$(patient "$group_limit")" build/cuda/test_emu \
      --duration=true "--test-case=$filter" "--test-case-exclude=$exclude" </dev/null 2>&1 |
      tee "$work/group-$group.log" || failed+=("$group")
  done < <(gpu_py groups "$libraries")
  ((${#failed[@]} == 0)) || die "these groups fail, each by itself: ${failed[*]}"
}

# Small cases of every family of kernels.
step_sanitize() {
  local tool sanitizer failed=()
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
    skip "there is no compute-sanitizer here"
  [[ -x build/cuda/test_emu ]] || die "build/cuda/test_emu was not built"
  for tool in memcheck racecheck; do
    say "$tool"
    { ROOK_TEST_DEVICE=cuda timeout --signal=KILL "$(patient "$sanitizer_limit")" "$sanitizer" --tool "$tool" --error-exitcode 9 \
      build/cuda/test_emu --test-case='*order*,*by hand*,*several*' 2>&1 | tee "$work/$tool.log" &&
      gpu_py some "$work/$tool.log"; } || failed+=("$tool")
  done
  ((${#failed[@]} == 0)) || die "failed or took too long: ${failed[*]}"
}

# What the CPU and the GPU compute from the same photo, node by node.
step_diff() {
  local model photo=${ROOK_ASSETS:-}/images/dog.jpg name failed=0 models=()
  [[ -x $ROOK ]] || die "$ROOK was not built"
  for name in yolo-fastest-1.1-xl-coco yolov4-tiny-voc-rebuilt; do
    model=${ROOK_ASSETS:-}/cfg/$name.cfg:${ROOK_ASSETS:-}/weights/$name.weights
    [[ ! -f ${model#*:} ]] || models+=("$model")
  done
  if ((${#models[@]} == 0)) || [[ ! -f $photo ]]; then
    photo=$work/picture.png
    models=("$(gpu_py model "$work" rook-nano "$photo")")
  fi
  for model in "${models[@]}"; do
    name=$(basename "${model%%:*}" .cfg)
    # compare KIND FLAGS...: a difference that is too large fails the step at its end.
    compare() {
      say "$name, $1"
      "$ROOK" diff --a cpu --b cuda --model "$model" "$photo" --json "$work/diff-$name-$1.json" "${@:2}" | tail -n 1 ||
        failed=1
    }
    compare f32 --tolerance 1e-4
    compare bf16 --precision-b bf16 --tolerance 0.3
    compare f16 --precision-b f16 --tolerance 0.05
    compare train --train --tolerance 1e-3
  done
  return "$failed"
}

step_train() {
  [[ -d ${ROOK_ASSETS:-}/chess ]] || skip "no chess photos: ROOK_ASSETS is not set"
  [[ -x $ROOK ]] || die "$ROOK was not built"
  ./run chess --device cuda
  # The same seed twice gives the same weights, to the bit.
  local number
  for number in 1 2; do
    rm -rf "$work/repeat-$number" "$work/repeat-$number".*
    "$ROOK" train --data "$ROOK_ASSETS/chess" --merge bishop=black-bishop --arch rook-nano --device cuda --epochs 1 \
      --out "$work/repeat-$number" >/dev/null
    "$ROOK" weights convert "$work/repeat-$number" "$work/repeat-$number.weights" >/dev/null
  done
  cmp "$work/repeat-1.weights" "$work/repeat-2.weights" || die "the same seed gave different weights"
  say "the same seed gave the same weights twice"
}

step_bench() {
  [[ -x $ROOK ]] || die "$ROOK was not built"
  gpu_py bench "$work/bench.json" "$(patient $((limits[bench] - 20)))"
}

step_torch() {
  [[ -x $ROOK ]] || die "$ROOK was not built"
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1 ||
    skip "$PYTHON has no PyTorch with CUDA"
  "$PYTHON" bench/gpu_torch.py "$work/torch.json" --seconds "$(patient 240)"
}

# ---- one after the other --------------------------------------------------------------------------------------------

describe_device() {
  timeout --signal=KILL 20 "$PYTHON" bench/gpu.py device >"$work/device.json" || say "the GPU does not say what it is"
}

# What there is, for who looks on or comes after a sudden end.
publish() {
  [[ -n ${OUT:-} ]] || return 0
  mkdir -p "$OUT"
  find "$work" -maxdepth 1 \( -name '*.log' -o -name '*.json' -o -name '*.tsv' \) -exec cp -t "$OUT" {} + ||
    say "$OUT: not everything could be copied there"
}

# run_step NAME: its output goes to the terminal and to build/gpu/NAME.log (and to OUT at once), its outcome to
# build/gpu/steps.tsv.
run_step() {
  local name=$1 status=0 outcome=passed note limit start=$SECONDS
  limit=$(patient "${limits[$name]}")
  say "---- $name (at most $limit s)"
  rm -f "$work/pipe"
  mkfifo "$work/pipe"
  tee "$work/$name.log" ${OUT:+"$OUT/$name.log"} <"$work/pipe" &
  local reader=$!
  timeout --signal=KILL "$limit" bash bench/gpu.sh --step "$name" </dev/null >"$work/pipe" 2>&1 &
  running=$!
  { wait "$running" || status=$?; } 2>/dev/null  # which would say "Killed"
  running=
  wait "$reader"
  rm -f "$work/pipe"
  note=$(tail -n 1 "$work/$name.log" | tr -d '\r' | tr '\t' ' ')
  case $status in
    0) [[ $note == 'gpu: note: '* ]] && note=${note#gpu: note: } || note= ;;
    "$skipped") outcome=skipped note=${note#gpu: skipped: } ;;
    124 | 137) outcome=failed note="took longer than $limit s (PATIENCE=2 gives twice that): $note" ;;
    *) outcome=failed ;;
  esac
  sed -i "/^$name\t/d" "$work/steps.tsv"
  printf '%s\t%s\t%d\t%s\n' "$name" "$outcome" $((SECONDS - start)) "$note" >>"$work/steps.tsv"
  publish
  [[ $outcome != failed ]]
}

main() {
  local name steps=("$@") failed=0
  ((${#steps[@]})) || steps=("${all_steps[@]}")
  for name in "${steps[@]}"; do
    [[ -n ${limits[$name]:-} ]] || die "there is no step $name; there are ${all_steps[*]}"
  done
  if [[ ${steps[*]} != build ]]; then
    nvidia-smi -L >/dev/null 2>&1 || die "there is no NVIDIA GPU here (nvidia-smi lists none); only the step build needs none"
  fi
  if ! command -v nvcc >/dev/null && [[ -x /usr/local/cuda/bin/nvcc ]]; then PATH=$PATH:/usr/local/cuda/bin; fi
  running=
  trap '[[ -z $running ]] || kill "$running"; exit 130' INT TERM
  [[ " ${steps[*]} " != *" build "* ]] || rm -rf "$work"
  mkdir -p "$work" ${OUT:+"$OUT"}
  describe_device
  touch "$work/steps.tsv"
  for name in "${steps[@]}"; do
    run_step "$name" || failed=1
  done
  describe_device  # now the program is there that knows its libraries
  gpu_py report "$work" || failed=1
  return "$failed"
}

if [[ ${1:-} == --step ]]; then
  "step_$2"
else
  main "$@"
fi
