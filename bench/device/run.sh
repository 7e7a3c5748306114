#!/usr/bin/env bash
# What a machine with an NVIDIA GPU is asked for, in four minutes, results as they come:
#
#   bench/device/run.sh [OUT]        OUT: where results go (bench/results/device)
#
#   machine.txt     the card, its driver, clocks and power limit
#   summary.txt     a line a program, with seconds
#   tests.tap       every operator's tests and whole toy models compiled by nvcc, against the book; runs must give equal bits
#   operators.md    speed of the operators                    yardstick.md    PyTorch's products and attention of the same sizes
#   steps.md        whole training steps                      peers.jsonl     PyTorch + PEFT's
#   sanitizer.txt   compute-sanitizer over the first shapes of each case, where it is installed
#
# Needs the checkout, nvcc 12.8 or newer and g++; neither Node nor CMake. yardstick and peers are left out where python3 has no torch. A
# program that fails does not stop the others; the status is 1 then.
# FEDLORA_DEVICE_CODE=90a compiles for another device than the one found; FEDLORA_DEVICE_BUILD_ONLY=1 stops before anything runs;
# FEDLORA_DEVICE_RUN_ONLY=1 runs what was built before, FEDLORA_DEVICE_PARTS="tests speed peers sanitizer" only these.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-bench/results/device}
build=${FEDLORA_DEVICE_BUILD:-build/device}
parts=" ${FEDLORA_DEVICE_PARTS:-tests speed peers sanitizer} "
mkdir -p "$out"
rm -f "$out"/{summary.txt,tests.tap,sanitizer.txt,operators.md,yardstick.md,steps.md,peers.jsonl}
jobs=$(nproc)
failed=0

build_all() {
  mkdir -p "$build/host" "$build/cuda" "$build/tests" "$build/speed"
  command -v nvcc >/dev/null || { echo "run.sh: no nvcc on PATH; install the CUDA toolkit, 12.8 or newer" >&2; exit 2; }
  if [ -z "${FEDLORA_DEVICE_CODE:-}" ]; then
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
    [ -n "$capability" ] || { echo "run.sh: nvidia-smi shows no device" >&2; exit 2; }
    [ "$capability" = 90 ] && capability=90a
    FEDLORA_DEVICE_CODE=$capability
  fi
  gencode="-gencode arch=compute_$FEDLORA_DEVICE_CODE,code=sm_$FEDLORA_DEVICE_CODE"
  # A file a process. Host rooms without JavaScript; the device's own with the options that they name ("// nvcc: …").
  host_flags="-std=c++20 -O2 -march=x86-64-v2 -ffp-contract=off -fno-math-errno -Inative"
  cuda_flags="-std=c++20 -O3 -Inative $gencode"
  object() { echo "$build/$1/$(echo "$2" | tr / _).o"; }
  # An object is kept while neither its source nor any header is newer.
  kept() { [ "$1" -nt "$2" ] && [ -z "$(find native -name '*.*h' -newer "$1" -print -quit)$(find native -name '*.def' -newer "$1" -print -quit)" ]; }
  compile_host() { o=$(object host "$1"); kept "$o" "$1" || g++ $host_flags -c "$1" -o "$o"; }
  compile_cuda() {
    o=$(object cuda "$1")
    own=$(sed -n 's,^// nvcc: ,,p' "$1")
    kept "$o" "$1" || nvcc $cuda_flags $own -c "$1" -o "$o"
  }
  compile_test() {
    name=$(basename "$1" .cpp)
    nvcc $cuda_flags -Itest/native -Itest/native/cuda -DFEDLORA_GOLDEN="\"test/golden\"" -x cu -c "$1" -o "$build/tests/$name.o" &&
      nvcc $gencode -o "$build/tests/$name" "$build/tests/$name.o" "$build/device.a" "$build/host.a" -cudart static -lpthread -ldl
  }
  compile_speed() {
    nvcc $cuda_flags -Ibench/device -c "bench/device/$1" -o "$build/speed/$1.o"
  }
  export -f object kept compile_host compile_cuda compile_test compile_speed
  export build host_flags cuda_flags gencode

  began=$SECONDS
  find native -name '*.cpp' -not -path 'native/napi/*' | xargs -P "$jobs" -I{} bash -c 'compile_host {}' || failed=1
  find native/backend/cuda -name '*.cu' | xargs -P "$jobs" -I{} bash -c 'compile_cuda {}' || failed=1
  rm -f "$build/host.a" "$build/device.a"
  ar rcs "$build/host.a" "$build"/host/*.o && ar rcs "$build/device.a" "$build"/cuda/*.o
  # The program whose subject is the emulator itself is not for a device.
  tests=$(ls test/native/cuda/test_cuda_*.cpp | grep -v test_cuda_emulator)
  echo "$tests" | xargs -P "$jobs" -I{} bash -c 'compile_test {}' || failed=1
  printf '%s\n' time_operators.cu time_step.cpp count_launches.cpp | xargs -P "$jobs" -I{} bash -c 'compile_speed {}' || failed=1
  nvcc $gencode -o "$build/speed/time_operators" "$build/speed/time_operators.cu.o" "$build/device.a" "$build/host.a" -cudart static -lpthread -ldl || failed=1
  nvcc $gencode -Xlinker --wrap=__cudaLaunchKernel -o "$build/speed/time_step" "$build/speed/time_step.cpp.o" "$build/speed/count_launches.cpp.o" \
    "$build/device.a" "$build/host.a" -cudart static -lpthread -ldl || failed=1
  echo "built for sm_$FEDLORA_DEVICE_CODE in $((SECONDS - began)) s" | tee -a "$out/summary.txt"
}
[ -n "${FEDLORA_DEVICE_RUN_ONLY:-}" ] || build_all
[ -z "${FEDLORA_DEVICE_BUILD_ONLY:-}" ] || exit "$failed"

wanted() { [[ $parts == *" $1 "* ]]; }
note() { echo "$*" | tee -a "$out/summary.txt"; }
# timed SECONDS FILE COMMAND …: its words to the file and the terminal, its status and time to the summary.
timed() {
  local limit=$1 file=$2 began=$SECONDS status
  shift 2
  timeout "$limit" "$@" 2>&1 | tee -a "$out/$file"
  status=${PIPESTATUS[0]}
  [ "$status" -eq 0 ] || failed=1
  note "$(basename "$1") ${*:2}: status $status, $((SECONDS - began)) s"
}
{ nvidia-smi; nvidia-smi -q -d CLOCK,POWER; nvcc --version; } >"$out/machine.txt" 2>&1
tests=$(cd "$build/tests" && ls | grep -v '\.o$')

# Programs run side by side: which of them is first changes no bit.
if wanted tests; then
  began=$SECONDS
  run_test() {
    timeout 60 "$build/tests/$1" >"$scratch/$1.tap" 2>&1
    echo "$1: status $?, $(grep -c '^ok' "$scratch/$1.tap") passed, $(grep -c '^not ok' "$scratch/$1.tap") failed"
  }
  export -f run_test
  scratch=$(mktemp -d) && export scratch build
  echo "$tests" | xargs -P 6 -I{} bash -c 'run_test {}' | tee -a "$out/summary.txt"
  ! grep -q -E 'test_cuda_[a-z_0-9]+: status [^0]' "$out/summary.txt" || failed=1
  for test in $tests; do echo "# $test"; cat "$scratch/$test.tap"; done >"$out/tests.tap"
  note "tests: $((SECONDS - began)) s"
fi
if wanted speed; then
  timed 60 operators.md "$build/speed/time_operators"
  timed 100 steps.md "$build/speed/time_step" ${FEDLORA_DEVICE_STEPS:-8b:bf16:1x2048 8b:bf16:4x2048 8b:nf4-packed:1x2048 8b:nf4-packed:4x2048 135m:bf16:8x512}
fi
if wanted peers && python3 -c 'import torch' 2>/dev/null; then
  timed 60 yardstick.md python3 bench/device/yardstick.py
  timed 90 peers.jsonl python3 -W ignore bench/device/peers.py
fi
# racecheck counts accesses that bar.arrive alone puts in order as races, which is what test_cuda_ptx_warp shows; no kernel uses it.
if wanted sanitizer && command -v compute-sanitizer >/dev/null; then
  began=$SECONDS
  sanitize() {
    [ "$1 $2" != "racecheck test_cuda_ptx_warp" ] || return 0
    timeout 90 compute-sanitizer --tool "$1" --error-exitcode 3 "$build/tests/$2" --small >"$scratch/$1.$2" 2>&1
    echo "$1 $2: status $?, $(grep SUMMARY "$scratch/$1.$2" | cut -c 11-)"
  }
  export -f sanitize
  scratch=$(mktemp -d) && export scratch build
  for tool in memcheck racecheck synccheck; do for test in $tests; do echo "$tool $test"; done; done |
    grep -v test_cuda_model | xargs -P 8 -I{} bash -c 'sanitize {}' | tee -a "$out/summary.txt"
  ! grep -q -E '(mem|race|sync)check .*: status [^0]' "$out/summary.txt" || failed=1
  for file in "$scratch"/*; do echo "# $(basename "$file")"; head -c 40000 "$file"; done >"$out/sanitizer.txt"
  note "sanitizer: $((SECONDS - began)) s"
fi
exit "$failed"
