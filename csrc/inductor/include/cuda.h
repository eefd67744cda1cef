// What AOTInductor's runtime names of CUDA's driver; a package for trn loads no modules.
#ifndef TRN_PACKAGE
#include_next <cuda.h>
#else
#pragma once

using CUmodule = void*;
using CUresult = int;
constexpr CUresult CUDA_SUCCESS = 0;

inline CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
inline CUresult cuGetErrorString(CUresult, const char** words) {
  *words = "no error";
  return CUDA_SUCCESS;
}
#endif
