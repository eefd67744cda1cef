// What a C++ wrapper for trn includes first.
#pragma once

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_trn.h>
#include <torch/csrc/inductor/cpp_wrapper/common.h>
#include <torch_trn/inductor/guard.h>
#include <torch_trn/inductor/queue.h>
