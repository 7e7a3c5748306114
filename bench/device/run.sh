#!/usr/bin/env bash
# What a machine with an NVIDIA GPU is asked for first, in a few minutes, results as they come:
#
#   bench/device/run.sh [OUT]        OUT: where results go (bench/results/device)
#
#   machine.txt     the card, its driver, clocks and power limit
#   tests.tap       every operator's tests compiled by nvcc, against the book, three runs that must give equal bits
#   sanitizer.txt   compute-sanitizer (memcheck, racecheck, synccheck) over the first shapes of each case, where it is installed
#   summary.txt     a line a program, with seconds
#
# Needs the checkout, nvcc 12.8 or newer and g++; neither Node nor CMake. A program that fails does not stop the others; the status is 1 then.
# FEDLORA_DEVICE_CODE=90a compiles for another device than the one found; FEDLORA_DEVICE_BUILD_ONLY=1 stops before anything runs.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-bench/results/device}
build=build/device
mkdir -p "$out" "$build/host" "$build/cuda" "$build/tests"
jobs=$(nproc)
failed=0

command -v nvcc >/dev/null || { echo "run.sh: no nvcc on PATH; install the CUDA toolkit, 12.8 or newer" >&2; exit 2; }
if [ -z "${FEDLORA_DEVICE_CODE:-}" ]; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
  [ -n "$capability" ] || { echo "run.sh: nvidia-smi shows no device" >&2; exit 2; }
  [ "$capability" = 90 ] && capability=90a
  FEDLORA_DEVICE_CODE=$capability
fi
gencode="-gencode arch=compute_$FEDLORA_DEVICE_CODE,code=sm_$FEDLORA_DEVICE_CODE"
{ nvidia-smi 2>&1; nvidia-smi -q -d CLOCK,POWER 2>&1; nvcc --version; } >"$out/machine.txt"

# A file a process. Host rooms without JavaScript; the device's own with the options that they name ("// nvcc: …").
host_flags="-std=c++20 -O2 -march=x86-64-v2 -ffp-contract=off -fno-math-errno -Inative"
cuda_flags="-std=c++20 -O3 -Inative $gencode"
object() { echo "$build/$1/$(echo "$2" | tr / _).o"; }
compile_host() { o=$(object host "$1"); [ "$o" -nt "$1" ] || g++ $host_flags -c "$1" -o "$o"; }
compile_cuda() {
  o=$(object cuda "$1")
  own=$(sed -n 's,^// nvcc: ,,p' "$1")
  [ "$o" -nt "$1" ] || nvcc $cuda_flags $own -c "$1" -o "$o"
}
compile_test() {
  name=$(basename "$1" .cpp)
  nvcc $cuda_flags -Itest/native -Itest/native/cuda -DFEDLORA_GOLDEN="\"$PWD/test/golden\"" -x cu -c "$1" -o "$build/tests/$name.o" &&
    nvcc $gencode -o "$build/tests/$name" "$build/tests/$name.o" "$build/device.a" "$build/host.a" -cudart static -lpthread -ldl
}
export -f object compile_host compile_cuda compile_test
export build host_flags cuda_flags gencode

began=$SECONDS
find native -name '*.cpp' -not -path 'native/napi/*' | xargs -P "$jobs" -I{} bash -c 'compile_host {}' || failed=1
find native/backend/cuda -name '*.cu' | xargs -P "$jobs" -I{} bash -c 'compile_cuda {}' || failed=1
rm -f "$build/host.a" "$build/device.a"
ar rcs "$build/host.a" "$build"/host/*.o && ar rcs "$build/device.a" "$build"/cuda/*.o
# Programs whose subject is the emulator itself are not for a device.
tests=$(ls test/native/cuda/test_cuda_*.cpp | grep -v -E 'test_cuda_(emulator|model)')
echo "$tests" | xargs -P "$jobs" -I{} bash -c 'compile_test {}' || failed=1
echo "built for sm_$FEDLORA_DEVICE_CODE in $((SECONDS - began)) s" | tee "$out/summary.txt"
[ -z "${FEDLORA_DEVICE_BUILD_ONLY:-}" ] || exit "$failed"

: >"$out/tests.tap"
for test in $tests; do
  name=$(basename "$test" .cpp)
  began=$SECONDS
  timeout 60 "$build/tests/$name" >>"$out/tests.tap" 2>&1
  status=$?
  [ "$status" -eq 0 ] || failed=1
  echo "$name: status $status, $((SECONDS - began)) s" | tee -a "$out/summary.txt"
done

: >"$out/sanitizer.txt"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck; do
    for test in $tests; do
      name=$(basename "$test" .cpp)
      echo "== $tool $name" >>"$out/sanitizer.txt"
      timeout 60 compute-sanitizer --tool "$tool" --error-exitcode 3 "$build/tests/$name" --small >>"$out/sanitizer.txt" 2>&1
      status=$?
      [ "$status" -eq 0 ] || failed=1
      echo "$tool $name: status $status" | tee -a "$out/summary.txt"
    done
  done
else
  echo "compute-sanitizer: not installed, skipped" | tee -a "$out/summary.txt"
fi
exit "$failed"
