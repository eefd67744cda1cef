// What compiled packages ask of the runtime, in C: memory, copies, events, the current device.
//
// AOTInductor's own runtime is written for devices that PyTorch knows by name; in a package for trn
// its CUDA branch is compiled, whose few calls (include/cuda_runtime_api.h) end here. Every
// function returns a code: 0 for success, kTrnNotReady, or kTrnFailed, whose words
// trn_error_words() has.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kTrnSuccess = 0, kTrnFailed = 1, kTrnNotReady = 600 };

#define TRN_RUNTIME_API __attribute__((visibility("default")))

// Memory of the current device, from the caching allocator, so that its statistics count it.
TRN_RUNTIME_API int trn_malloc(void** memory, size_t bytes);
// Waits for the device first, as cudaFree does: work in flight may read the memory.
TRN_RUNTIME_API int trn_free(void* memory);
// Between host and device in any direction; each side is known by its address. Returns when done.
TRN_RUNTIME_API int trn_memcpy(void* to, const void* from, size_t bytes);

TRN_RUNTIME_API int trn_get_device(int* index);
TRN_RUNTIME_API int trn_set_device(int index);
// Waits for the current stream of the current device.
TRN_RUNTIME_API int trn_synchronize(void);

typedef struct TrnEvent TrnEvent;
TRN_RUNTIME_API int trn_event_create(TrnEvent** event);
// On the current stream of the current device.
TRN_RUNTIME_API int trn_event_record(TrnEvent* event);
TRN_RUNTIME_API int trn_event_query(TrnEvent* event);
TRN_RUNTIME_API int trn_event_synchronize(TrnEvent* event);
TRN_RUNTIME_API int trn_event_destroy(TrnEvent* event);

// The last failure of the calling thread; valid until its next.
TRN_RUNTIME_API const char* trn_error_words(int code);

#ifdef __cplusplus
}  // extern "C"
#endif
