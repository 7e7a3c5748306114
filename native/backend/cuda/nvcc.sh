#!/bin/sh
# nvcc.sh LOG COMMAND…: runs the compiler with its words kept in LOG, where scripts/check-cuda.mjs reads registers and spills; what a
# person should see is printed.
log=$1
shift
"$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
grep -E 'warning|C75[0-9][0-9]' "$log" >&2 || true
