// Devices, streams' natives, kernels and generators for Python.
#include <torch/csrc/Dtype.h>
#include <torch/csrc/Event.h>
#include <torch/csrc/Generator.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/device_lazy_init.h>

#include "base/option.h"
#include "bind/bind.h"
#include "kernel.h"
#include "ops/blocking.h"
#include "ops/launch.h"
#include "ops/probe.h"
#include "runtime/generator.h"
#include "runtime/stream.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

py::dict properties(int index) {
  const driver::Properties p = runtime::device(static_cast<c10::DeviceIndex>(index)).properties();
  py::dict d;
  d["name"] = p.name;
  d["driver"] = p.driver;
  d["total_memory"] = p.total_memory;
  d["compute_threads"] = p.compute_threads;
  d["isa"] = p.isa;
  d["l1_bytes"] = p.l1_bytes;
  d["l2_bytes"] = p.l2_bytes;
  d["l3_bytes"] = p.l3_bytes;
  return d;
}

py::dict counters(int index) {
  const driver::Counters c = runtime::device(static_cast<c10::DeviceIndex>(index)).counters();
  py::dict d;
  d["kernels"] = c.kernels;
  d["copies"] = c.copies;
  d["bytes_copied"] = c.bytes_copied;
  d["allocations"] = c.allocations;
  d["releases"] = c.releases;
  return d;
}

// (family, type, instruction set) of every kernel in this library.
py::list kernels() {
  std::vector<const Kernel*> all(static_cast<size_t>(all_kernels(nullptr, 0)));
  all_kernels(all.data(), static_cast<int64_t>(all.size()));
  py::list out;
  for (const Kernel* k : all)
    out.append(py::make_tuple(k->name, c10::toString(static_cast<c10::ScalarType>(k->dtype)),
                              isa_name(k->isa)));
  return out;
}

void set_isa(const std::string& name) {
  for (Isa isa : {Isa::reference, Isa::portable, Isa::avx2, Isa::avx512, Isa::amx}) {
    if (name != isa_name(isa)) continue;
    set_active_isa(isa);
    return;
  }
  throw py::value_error("expected reference, portable, avx2, avx512 or amx, got " + name);
}

py::tuple default_generators() {
  py::list all;
  for (c10::DeviceIndex i = 0; i < runtime::device_count(); ++i)
    all.append(py::reinterpret_steal<py::object>(THPGenerator_Wrap(runtime::default_generator(i))));
  return py::tuple(all);
}

// Milliseconds between two events. torch.Event's own method refuses classes derived of it.
double elapsed_time(py::handle from, py::handle to) {
  const auto event = [](py::handle h) -> c10::Event& {
    if (!THPEvent_Check(h.ptr())) throw py::type_error("expected a torch.Event");
    return reinterpret_cast<THPEvent*>(h.ptr())->event;
  };
  return event(from).elapsedTime(event(to));
}

const at::Tensor& tensor_of(py::handle h) {
  if (!THPVariable_Check(h.ptr())) throw py::type_error("expected a tensor");
  return THPVariable_Unpack(h.ptr());
}

bool probe_peak(py::handle type, py::handle done, int64_t rounds) {
  if (!THPDtype_Check(type.ptr())) throw py::type_error("expected a torch.dtype");
  return ops::probe_peak(reinterpret_cast<THPDtype*>(type.ptr())->scalar_type, tensor_of(done),
                         rounds);
}

void probe_copy(py::handle done, py::handle memory, int64_t rounds) {
  ops::probe_copy(tensor_of(done), tensor_of(memory), rounds);
}

py::dict environment() {
  const Options& o = options();
  py::dict d;
  d["TRN_DRIVER"] = o.driver;
  d["TRN_FALLBACK"] = o.fallback;
  d["TRN_VERBOSE"] = o.verbose;
  d["TRN_STRICT"] = o.strict;
  d["TRN_DEVICES"] = o.devices;
  d["TRN_MEMORY"] = o.memory;
  d["TRN_KERNELS"] = isa_name(active_isa());
  return d;
}

}  // namespace

void add_device(py::module_& m) {
  m.def("_device_count", [] { return static_cast<int>(runtime::device_count()); });
  m.def("_limit_devices", &runtime::limit_devices);
  m.def("_set_launch_blocking", &ops::set_launch_blocking);
  m.def("_set_sync_debug_mode", &ops::set_sync_debug_mode);
  m.def("_sync_debug_mode", &ops::sync_debug_mode);
  m.def("_current_device", [] { return static_cast<int>(runtime::current_device()); });
  m.def("_set_device", [](int i) {
    runtime::check_ordinal(i);
    runtime::set_device(static_cast<c10::DeviceIndex>(i));
  });
  m.def("_init", [] { runtime::device(-1); });
  m.def("_is_initialized", &runtime::is_initialized);
  m.def("_is_in_bad_fork", &runtime::in_bad_fork);
  m.def("_register_fork_handler",
        [] { torch::utils::register_fork_handler_for_device_init(c10::kPrivateUse1); });
  m.def("_properties", &properties);
  m.def("_counters", &counters);
  m.def("_environment", &environment);
  m.def("_elapsed_time", &elapsed_time);
  m.def("_default_stream_id", [](int device) {
    return runtime::default_stream(static_cast<c10::DeviceIndex>(device)).id();
  });
  m.def("_stream_priority", [](int64_t id, int device) {
    const c10::Device d(c10::kPrivateUse1, static_cast<c10::DeviceIndex>(device));
    return runtime::stream_priority(c10::Stream(c10::Stream::UNSAFE, d, id));
  });
  m.attr("_highest_priority") = runtime::kHighestPriority;
  m.def("_launch_count", &ops::launch_count);
  m.def("_kernels", &kernels);
  m.def("_active_isa", [] { return isa_name(active_isa()); });
  m.def("_set_active_isa", &set_isa);
  m.def("_set_compute_threads", &driver::set_compute_threads,
        py::call_guard<py::gil_scoped_release>());
  m.def("_get_compute_threads", &driver::compute_threads);
  m.def("_probe_peak", &probe_peak);
  m.def("_probe_copy", &probe_copy);
  m.def("_inject_fault", &driver::inject_fault);
  m.def("_default_generators", &default_generators);
}

}  // namespace trn::bind
