#!/usr/bin/env bash
# Builds, tests and measures rook on a machine with an NVIDIA GPU; `./run gpu` calls it. docs/gpu.md says what each step
# does. A step that fails hides none of the later ones. Logs and figures gather in build/gpu until the next step `build`;
# the table of all that is there goes to bench/results/GPU-DATE.{json,md}, and with OUT set to that folder as well.
#   PYTHON     interpreter with numpy, and PyTorch for the step `torch`
#   PATIENCE   factor of the time limits
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export PYTHON=${PYTHON:-python3} PRESET=cuda TARGETS="rook test_emu" ROOK=$PWD/build/cuda/rook
work=build/gpu
all_steps=(build test sanitize diff train bench torch)
# Seconds. The first four together stay below ten minutes, and the last three as well.
declare -A limits=([build]=330 [test]=90 [sanitize]=80 [diff]=80 [train]=120 [bench]=200 [torch]=260)
readonly skipped=77  # exit status of a step that cannot be done here; its last line says why

say() { printf '%s\n' "gpu: $*" >&2; }
die() { say "$*"; exit 1; }
skip() { say "skipped: $*"; exit "$skipped"; }
gpu_py() { "$PYTHON" bench/gpu.py "$@"; }

# ---- the steps, each in a process of its own ------------------------------------------------------------------------

step_build() {
  local options=(ROOK_EMU=ON) capability
  if capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1); then
    options+=("ROOK_CUDA_ARCHITECTURES=${capability/./}")  # for this GPU alone: half the time
  fi
  ./run build "${options[@]}"
}

# The cases that need a GPU are those that fail when it is hidden: as many must pass when it is not.
step_test() {
  [[ -x build/cuda/test_emu ]] || die "build/cuda/test_emu was not built"
  CUDA_VISIBLE_DEVICES='' ROOK_TEST_DEVICE=cuda build/cuda/test_emu >"$work/test-hidden.log" 2>&1 || true
  local status=0
  ROOK_TEST_DEVICE=cuda build/cuda/test_emu | tee "$work/test-shown.log" || status=$?
  gpu_py cases "$work/test-hidden.log" "$work/test-shown.log" >"$work/cases.json"
  ((status == 0)) || die "kernels fail on this GPU"
}

# Small cases of every family of kernels.
step_sanitize() {
  local tool sanitizer
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
    skip "there is no compute-sanitizer here"
  [[ -x build/cuda/test_emu ]] || die "build/cuda/test_emu was not built"
  for tool in memcheck racecheck; do
    say "$tool"
    ROOK_TEST_DEVICE=cuda "$sanitizer" --tool "$tool" --error-exitcode 9 build/cuda/test_emu \
      --test-case='*order*,*by hand*,*several*' | tee "$work/$tool.log"
    gpu_py some "$work/$tool.log"
  done
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
  gpu_py bench "$work/bench.json"
}

step_torch() {
  [[ -x $ROOK ]] || die "$ROOK was not built"
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1 ||
    skip "$PYTHON has no PyTorch with CUDA"
  "$PYTHON" bench/gpu_torch.py "$work/torch.json" --seconds $((240 * ${PATIENCE:-1}))
}

# ---- one after the other --------------------------------------------------------------------------------------------

# run_step NAME: its output goes to the terminal and to build/gpu/NAME.log, its outcome to build/gpu/steps.tsv.
run_step() {
  local name=$1 status=0 outcome=passed note limit start=$SECONDS
  limit=$((${limits[$name]} * ${PATIENCE:-1}))
  say "---- $name (at most $limit s)"
  rm -f "$work/pipe"
  mkfifo "$work/pipe"
  tee "$work/$name.log" <"$work/pipe" &
  local reader=$!
  timeout --signal=KILL "$limit" bash bench/gpu.sh --step "$name" </dev/null >"$work/pipe" 2>&1 &
  running=$!
  { wait "$running" || status=$?; } 2>/dev/null  # which would say "Killed"
  running=
  wait "$reader"
  rm -f "$work/pipe"
  note=$(tail -n 1 "$work/$name.log" | tr -d '\r' | tr '\t' ' ')
  case $status in
    0) note= ;;
    "$skipped") outcome=skipped note=${note#gpu: skipped: } ;;
    124 | 137) outcome=failed note="took longer than $limit s (PATIENCE=2 gives twice that): $note" ;;
    *) outcome=failed ;;
  esac
  sed -i "/^$name\t/d" "$work/steps.tsv"
  printf '%s\t%s\t%d\t%s\n' "$name" "$outcome" $((SECONDS - start)) "$note" >>"$work/steps.tsv"
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
  mkdir -p "$work"
  touch "$work/steps.tsv"
  for name in "${steps[@]}"; do
    run_step "$name" || failed=1
  done
  gpu_py report "$work" || failed=1
  return "$failed"
}

if [[ ${1:-} == --step ]]; then
  "step_$2"
else
  main "$@"
fi
