#!/bin/sh
# Builds and runs the GoogleTest suites in a build folder: scripts/test_cpp.sh BUILD PYTHON.
set -eu
build=$1
python=$2
if ! printf '#include <gtest/gtest.h>\n' | ${CXX:-g++} -E -x c++ - >/dev/null 2>&1; then
  echo "GoogleTest not found: its suites are skipped (Debian: apt-get install libgtest-dev)"
  exit 0
fi
PATH="$(dirname "$python"):$PATH"
export PATH
cmake -S . -B "$build" -G Ninja -DTRN_TESTS=ON -DPython_EXECUTABLE="$(pwd)/$python" >/dev/null
cmake --build "$build" -j "${MAX_JOBS:-$(nproc)}"
ctest --test-dir "$build" --output-on-failure --no-tests=error
