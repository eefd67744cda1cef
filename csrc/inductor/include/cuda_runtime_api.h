// The calls of CUDA's runtime that AOTInductor's makes, answered by trn in a package for trn
// (TRN_PACKAGE). In any other translation unit this is the next header of the name.
#ifndef TRN_PACKAGE
#include_next <cuda_runtime_api.h>
#else
#pragma once

#include <torch_trn/inductor/runtime_api.h>

using cudaError_t = int;
using cudaStream_t = void*;
using cudaEvent_t = TrnEvent*;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDefault };
constexpr cudaError_t cudaSuccess = kTrnSuccess;
constexpr cudaError_t cudaErrorNotReady = kTrnNotReady;

inline const char* cudaGetErrorString(cudaError_t code) { return trn_error_words(code); }
inline cudaError_t cudaGetLastError() { return kTrnFailed; }
inline cudaError_t cudaMalloc(void** memory, size_t bytes) { return trn_malloc(memory, bytes); }
inline cudaError_t cudaFree(void* memory) { return trn_free(memory); }
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  return trn_memcpy(to, from, bytes);
}
inline cudaError_t cudaGetDevice(int* index) { return trn_get_device(index); }
inline cudaError_t cudaSetDevice(int index) { return trn_set_device(index); }
inline cudaError_t cudaEventCreate(cudaEvent_t* event) { return trn_event_create(event); }
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  return trn_event_record(event);
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) { return trn_event_query(event); }
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) { return trn_event_synchronize(event); }
inline cudaError_t cudaEventDestroy(cudaEvent_t event) { return trn_event_destroy(event); }
#endif
