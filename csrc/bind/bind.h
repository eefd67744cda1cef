// The parts of _C: each file adds its functions to the module.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace trn::bind {

void add_comm(pybind11::module_& m);
void add_device(pybind11::module_& m);
void add_fallback(pybind11::module_& m);
void add_graph(pybind11::module_& m);
void add_memory(pybind11::module_& m);
void add_migrate(pybind11::module_& m);
void add_replay(pybind11::module_& m);
void add_site(pybind11::module_& m);

}  // namespace trn::bind
