// The fallback's counts for Python.
#include "ops/fallback.h"

#include "bind/bind.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

py::dict count_dict(const ops::FallbackCount& c) {
  py::dict d;
  d["calls"] = c.calls;
  d["bytes"] = c.bytes;
  d["reason"] = c.reason;
  return d;
}

py::dict by_op() {
  py::dict out;
  for (const auto& [name, count] : ops::fallback_counts()) out[py::str(name)] = count_dict(count);
  return out;
}

py::dict by_line() {
  py::dict out;
  const auto seconds = ops::fallback_seconds_by_line();
  for (const auto& [key, count] : ops::fallback_counts_by_line()) {
    py::dict entry = count_dict(count);
    const auto it = seconds.find(key);
    entry["seconds"] = it == seconds.end() ? 0.0 : it->second;
    out[py::make_tuple(key.first, key.second)] = entry;
  }
  return out;
}

const char* mode_name() {
  switch (ops::fallback_mode()) {
    case ops::FallbackMode::error: return "error";
    case ops::FallbackMode::silent: return "silent";
    default: return "warn";
  }
}

void set_mode(const std::string& mode) {
  using ops::FallbackMode;
  if (mode == "warn") return ops::set_fallback_mode(FallbackMode::warn);
  if (mode == "error") return ops::set_fallback_mode(FallbackMode::error);
  if (mode == "silent") return ops::set_fallback_mode(FallbackMode::silent);
  throw py::value_error("expected warn, error or silent, got " + mode);
}

}  // namespace

void add_fallback(py::module_& m) {
  m.def("_fallback_counts", &by_op);
  m.def("_fallback_counts_by_line", &by_line);
  m.def("_reset_fallback_counts", &ops::reset_fallback_counts);
  m.def("_fallback_mode", &mode_name);
  m.def("_set_fallback_mode", &set_mode);
}

}  // namespace trn::bind
