// torch.device while CUDA is redirected: a trn device says "cuda", and "cuda" makes a trn device.
#include "ops/migrate.h"

#include <torch/csrc/Device.h>
#include <torch/csrc/Event.h>
#include <torch/csrc/Generator.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/device_lazy_init.h>

#include "base/site.h"
#include "bind/bind.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

c10::Device normal(PyObject* self) {
  const c10::Device d = reinterpret_cast<THPDevice*>(self)->device;
  return d.is_cuda() ? c10::Device(c10::kPrivateUse1, d.index()) : d;
}

// While positive, devices of this thread say what they are: see suspend_identity.
thread_local int suspended = 0;
bool says_cuda(PyObject* self) { return suspended == 0 && normal(self).is_privateuseone(); }

// The slots of torch.device as torch made them; filled while the redirection is on.
struct Slots {
  newfunc make;
  reprfunc repr, str;
  richcmpfunc compare;
  hashfunc hash;
  PyObject *type = nullptr, *reduce = nullptr;  // attributes, owned
  newfunc make_generator, make_event;
} original;

PyObject* make(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* made = original.make(type, args, kwargs);
  if (made && reinterpret_cast<THPDevice*>(made)->device.is_cuda()) {
    reinterpret_cast<THPDevice*>(made)->device = normal(made);
    static const int32_t id = ops::redirection_id("torch.device");
    ops::note_redirection(id);
  }
  return made;
}

// torch.Generator("cuda") and torch.Event("cuda"): the name becomes a device, which make() above
// has turned to trn.
PyObject* make_on(newfunc create, PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  py::tuple positional = py::reinterpret_borrow<py::tuple>(args);
  py::dict named = kwargs ? py::dict(py::reinterpret_borrow<py::dict>(kwargs)) : py::dict();
  try {
    const auto device_type = py::handle(reinterpret_cast<PyObject*>(&THPDeviceType));
    if (positional.size() == 1 && py::isinstance<py::str>(positional[0]))
      positional = py::make_tuple(device_type(positional[0]));
    if (named.contains("device") && py::isinstance<py::str>(named["device"])) {
      named = named.attr("copy")();
      named["device"] = device_type(named["device"]);
    }
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  }
  return create(type, positional.ptr(), named.ptr());
}
PyObject* make_generator(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return make_on(original.make_generator, type, args, kwargs);
}
PyObject* make_event(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return make_on(original.make_event, type, args, kwargs);
}

PyObject* text_of(PyObject* self, bool repr) {
  const c10::Device d = normal(self);
  const std::string index = std::to_string(static_cast<int>(d.index()));
  std::string text;
  if (repr) {
    text = "device(type='cuda'" + (d.has_index() ? ", index=" + index : std::string()) + ")";
  } else {
    text = d.has_index() ? "cuda:" + index : "cuda";
  }
  return PyUnicode_FromString(text.c_str());
}
PyObject* repr(PyObject* self) {
  return says_cuda(self) ? text_of(self, true) : original.repr(self);
}
PyObject* str(PyObject* self) {
  return says_cuda(self) ? text_of(self, false) : original.str(self);
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  if (!THPDevice_Check(a) || !THPDevice_Check(b) || (op != Py_EQ && op != Py_NE))
    return original.compare(a, b, op);
  return PyBool_FromLong((normal(a) == normal(b)) == (op == Py_EQ));
}
Py_hash_t hash(PyObject* self) {
  const auto h = static_cast<Py_hash_t>(std::hash<c10::Device>()(normal(self)));
  return h == -1 ? -2 : h;
}

PyObject* get_type(PyObject* self, void*) {
  if (says_cuda(self)) return PyUnicode_InternFromString("cuda");
  return Py_TYPE(original.type)
      ->tp_descr_get(original.type, self, reinterpret_cast<PyObject*>(Py_TYPE(self)));
}

PyObject* reduce(PyObject* self, PyObject*) {
  if (says_cuda(self)) {
    const c10::Device d = normal(self);
    auto* type = reinterpret_cast<PyObject*>(&THPDeviceType);
    return d.has_index() ? Py_BuildValue("O(si)", type, "cuda", static_cast<int>(d.index()))
                         : Py_BuildValue("O(s)", type, "cuda");
  }
  const auto bound = py::reinterpret_steal<py::object>(
      Py_TYPE(original.reduce)
          ->tp_descr_get(original.reduce, self, reinterpret_cast<PyObject*>(Py_TYPE(self))));
  return bound ? PyObject_CallNoArgs(bound.ptr()) : nullptr;
}

// Tensor.is_trn and Tensor.is_cuda while the redirection is on: both ask for the device's own name.
PyObject* tensor_is_trn(PyObject* self, void* as_cuda) {
  if (!THPVariable_Check(self)) return PyErr_Format(PyExc_TypeError, "expected a tensor");
  const bool hidden = as_cuda && suspended > 0;
  return PyBool_FromLong(!hidden && THPVariable_Unpack(self).device().is_privateuseone());
}

PyGetSetDef type_getter = {"type", &get_type, nullptr, nullptr, nullptr};
PyGetSetDef is_trn_getter = {"is_trn", &tensor_is_trn, nullptr, nullptr, nullptr};
PyGetSetDef is_cuda_getter = {"is_cuda", &tensor_is_trn, nullptr, nullptr, &is_cuda_getter};
PyMethodDef reduce_method = {"__reduce__", &reduce, METH_NOARGS, nullptr};

void set_attribute(const char* name, PyObject* value) {
  if (!value || PyDict_SetItemString(THPDeviceType.tp_dict, name, value) != 0)
    throw py::error_already_set();
}

void patch_device() {
  PyTypeObject& t = THPDeviceType;
  original = {t.tp_new, t.tp_repr, t.tp_str, t.tp_richcompare, t.tp_hash};
  auto* generator = reinterpret_cast<PyTypeObject*>(THPGeneratorClass);
  original.make_generator = std::exchange(generator->tp_new, &make_generator);
  auto* event = reinterpret_cast<PyTypeObject*>(THPEventClass);
  original.make_event = std::exchange(event->tp_new, &make_event);
  for (auto [name, slot] :
       {std::pair("type", &original.type), std::pair("__reduce__", &original.reduce)}) {
    *slot = PyDict_GetItemString(t.tp_dict, name);
    if (!*slot) throw std::runtime_error(std::string("torch.device has no attribute ") + name);
    Py_INCREF(*slot);
  }
  const auto getter = py::reinterpret_steal<py::object>(PyDescr_NewGetSet(&t, &type_getter));
  const auto method = py::reinterpret_steal<py::object>(PyDescr_NewMethod(&t, &reduce_method));
  set_attribute("type", getter.ptr());
  set_attribute("__reduce__", method.ptr());
  t.tp_new = &make;
  t.tp_repr = &repr;
  t.tp_str = &str;
  t.tp_richcompare = &compare;
  t.tp_hash = &hash;
  PyType_Modified(&t);
}

void restore_device() {
  PyTypeObject& t = THPDeviceType;
  set_attribute("type", original.type);
  set_attribute("__reduce__", original.reduce);
  Py_CLEAR(original.type);
  Py_CLEAR(original.reduce);
  t.tp_new = original.make;
  t.tp_repr = original.repr;
  t.tp_str = original.str;
  t.tp_richcompare = original.compare;
  t.tp_hash = original.hash;
  reinterpret_cast<PyTypeObject*>(THPGeneratorClass)->tp_new = original.make_generator;
  reinterpret_cast<PyTypeObject*>(THPEventClass)->tp_new = original.make_event;
  PyType_Modified(&t);
}

void enter() {
  if (ops::migration_is_on()) return;
  patch_device();
  ops::enter_migration();
  torch::utils::set_requires_device_init(c10::kCUDA, false);
  // A program that only says "cuda" never has torch initialise trn, which does that by itself; and
  // torch takes a device that is not initialised for one that has nothing to wait for.
  torch::utils::set_requires_device_init(c10::kPrivateUse1, false);
}

// `cuda_ready`: whether torch.cuda itself is initialised, and so needs no lazy initialisation.
void leave(bool cuda_ready) {
  if (!ops::migration_is_on()) return;
  ops::leave_migration();
  restore_device();
  torch::utils::set_requires_device_init(c10::kCUDA, !cuda_ready);
}

// In this thread, +1: devices say "trn" until as many -1 have come, for code that generates code.
void suspend_identity(int by) { suspended += by; }

py::object tensor_attribute(PyGetSetDef& getter) {
  return py::reinterpret_steal<py::object>(
      PyDescr_NewGetSet(reinterpret_cast<PyTypeObject*>(THPVariableClass), &getter));
}

py::dict redirections() {
  py::dict out;
  for (const auto& [key, calls] : ops::redirections())
    out[py::make_tuple(key.first, site_text(key.second))] = calls;
  return out;
}

}  // namespace

void add_migrate(py::module_& m) {
  m.def("_enter_migration", &enter);
  m.def("_leave_migration", &leave);
  m.def("_migration_is_on", &ops::migration_is_on);
  m.def("_redirections", &redirections);
  m.def("_suspend_identity", &suspend_identity);
  m.def("_tensor_is_trn", [] { return tensor_attribute(is_trn_getter); });
  m.def("_tensor_is_cuda", [] { return tensor_attribute(is_cuda_getter); });
  m.def("_redirection_id", &ops::redirection_id);
  m.def("_note_redirection", &ops::note_redirection);
}

}  // namespace trn::bind
