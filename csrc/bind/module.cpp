// _C: the Python door to libtorch_trn, which itself knows no Python.
#include <torch/csrc/Exceptions.h>

#include "bind/bind.h"

PYBIND11_MODULE(_C, m) {
  m.doc() = "torch-trn's native half; use torch.trn instead.";
  // c10's errors arrive as the exceptions torch raises for them, and without a C++ stack.
  pybind11::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const c10::Error&) { torch::translate_exception_to_python(error); }
  });
  trn::bind::add_comm(m);
  trn::bind::add_device(m);
  trn::bind::add_fallback(m);
  trn::bind::add_graph(m);
  trn::bind::add_memory(m);
  trn::bind::add_migrate(m);
  trn::bind::add_replay(m);
  trn::bind::add_site(m);
}
