// The distributed backend for Python.
#include <pybind11/chrono.h>
#include <torch/csrc/utils/pybind.h>

#include "bind/bind.h"
#include "comm/backend.h"

namespace py = pybind11;

namespace trn::bind {

void add_comm(py::module_& m) {
  m.def("_abort_comm_backends", &comm::Backend::abort_all,
        py::call_guard<py::gil_scoped_release>());
  m.attr("_comm_name") = comm::kBackendName;
  m.def("_make_comm_backend",
        [](const c10::intrusive_ptr<c10d::Backend>& transport, int rank, int size,
           std::chrono::milliseconds timeout) -> c10::intrusive_ptr<c10d::Backend> {
          return c10::make_intrusive<comm::Backend>(transport, rank, size, timeout);
        });
}

}  // namespace trn::bind
