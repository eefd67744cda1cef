// What a package for trn includes first: AOTInductor's runtime, made to run on trn.
#pragma once

// That runtime has memory, copies and events on a device in its CUDA branch only (model_base.h).
// <cuda.h> and <cuda_runtime_api.h> are found beside this file and lead to trn's runtime.
#define TRN_PACKAGE
#ifndef USE_CUDA
#define USE_CUDA 1
#endif
// "cuda:1", to the runtime of a package, is trn:1.
#define aoti_torch_device_type_cuda aoti_torch_device_type_privateuse1
// What cudaMalloc gives comes from trn's caching allocator anyhow.
#undef AOT_INDUCTOR_USE_CACHING_ALLOCATOR

#include <torch/csrc/inductor/aoti_include/common.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_trn.h>
#include <torch_trn/inductor/guard.h>
#include <torch_trn/inductor/queue.h>
