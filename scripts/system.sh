#!/bin/sh
# What comes from the system: found, installed where root and apt-get allow, or skipped in words.
# Nothing here is needed to build and run; each line says what is lost without it.
set -u

missing=""
note() { echo "system: $1"; }
want() { # package, test command, what is lost without it
  if sh -c "$2" >/dev/null 2>&1; then
    note "$1 found"
  else
    missing="$missing $1"
    eval "lost_$(echo "$1" | tr -c 'a-z0-9\n' _)=\$3"
  fi
}

has_header() { echo "printf '#include <$1>\n' | \${CXX:-g++} -E -x c++ -"; }

want g++ 'command -v ${CXX:-g++}' 'nothing can be built without a C++ compiler'
want libgtest-dev "$(has_header gtest/gtest.h)" 'the GoogleTest suites are skipped'
want ccache 'command -v ccache' 'a rebuild compiles everything again'
want libdnnl-dev "$(has_header oneapi/dnnl/dnnl.h)" \
  'TRN_KERNELS=reference uses the portable kernels instead of oneDNN'

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  updated=""
  for package in $missing; do
    if [ -z "$updated" ]; then
      apt-get update -qq >/dev/null 2>&1 || note "apt-get update failed; trying what it knows"
      updated=yes
    fi
    if apt-get install -y -qq --no-install-recommends "$package" </dev/null >/dev/null 2>&1; then
      note "$package installed"
    else
      note "$package cannot be installed: $(eval "echo \"\$lost_$(echo "$package" | tr -c 'a-z0-9\n' _)\"")"
    fi
  done
else
  for package in $missing; do
    note "$package missing (not root, or no apt-get): $(eval "echo \"\$lost_$(echo "$package" | tr -c 'a-z0-9\n' _)\"")"
  done
fi
exit 0
