#!/bin/sh
# Builds the driver, kernel and runtime suites with a sanitizer and runs them, twice:
# AddressSanitizer and ThreadSanitizer. scripts/sanitize.sh [address|thread]
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
for kind in ${1:-address thread}; do
  build=build-$kind
  # The suites that need torch run under AddressSanitizer only: torch itself is not instrumented,
  # and ThreadSanitizer reports what it cannot see there.
  torch=OFF
  [ "$kind" = address ] && torch=ON
  cmake -S . -B "$build" -DTRN_TESTS=ON -DTRN_TORCH=$torch -DTRN_SANITIZE="$kind" \
    -DTRN_OUTPUT="$(pwd)/$build/package" -DPython_EXECUTABLE="$(command -v "$python")" > /dev/null
  cmake --build "$build" --parallel "${MAX_JOBS:-$(nproc)}"
  # Leaks of torch's own start-up are not ours to count.
  ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1 TRN_MEMORY=4G \
    ctest --test-dir "$build" --output-on-failure --no-tests=error
  echo "$kind: clean"
done
