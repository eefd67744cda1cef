// Captures and private memory pools for Python; graphs themselves are torch's own class.
#include <thread>

#include "bind/bind.h"
#include "runtime/allocator.h"
#include "runtime/capture.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

c10::DeviceIndex index_of(int device) { return static_cast<c10::DeviceIndex>(device); }

// All allocations of the calling thread, on any stream, come from the pool.
void begin_pool(int device, c10::MempoolId_t pool) {
  const std::thread::id me = std::this_thread::get_id();
  runtime::begin_pool(index_of(device), pool,
                      [me](c10::Stream) { return std::this_thread::get_id() == me; });
}

}  // namespace

void add_graph(py::module_& m) {
  m.def("_is_current_stream_capturing",
        [] { return runtime::capture_of(runtime::current_stream(-1)) != nullptr; });
  m.def("_new_pool_id", &runtime::new_pool_id);
  m.def("_begin_pool", &begin_pool);
  m.def("_end_pool", [](int d, c10::MempoolId_t pool) { runtime::end_pool(index_of(d), pool); });
  m.def("_release_pool",
        [](int d, c10::MempoolId_t pool) { runtime::release_pool(index_of(d), pool); });
  m.def("_pool_uses",
        [](int d, c10::MempoolId_t pool) { return runtime::pool_uses(index_of(d), pool); });
  m.def(
      "_empty_pool", [](c10::MempoolId_t pool) { runtime::allocator()->emptyCache(pool); },
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace trn::bind
