// Call sites: the innermost Python line outside torch and torch_trn, as a number.
#include "base/site.h"

#include <Python.h>
#include <frameobject.h>

#include <deque>
#include <functional>
#include <mutex>
#include <unordered_map>

#include "base/wait.h"
#include "bind/bind.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

struct Key {
  PyObject* code;
  int at;  // an instruction's offset
  bool operator==(const Key&) const = default;
};
struct Hash {
  size_t operator()(const Key& k) const {
    return std::hash<const void*>()(k.code) * 31 + static_cast<size_t>(k.at);
  }
};

// Guarded by the GIL, but for `texts`, which is also read without it.
struct Sites {
  std::vector<std::string> internal;  // folders whose frames are passed over
  std::unordered_map<PyObject*, bool> is_internal;
  std::unordered_map<Key, int32_t, Hash> ids;
  std::unordered_map<std::string, int32_t> by_text;
  std::mutex mutex;
  std::deque<std::string> texts{""};  // by id
};
Sites& sites() {
  static auto* all = new Sites;
  return *all;
}

// Code objects are kept alive once seen, so that an address means one thing; a program that makes
// them without end stops being told apart here.
constexpr size_t kMostCodes = 1 << 16;

std::string file_of(PyCodeObject* code) {
  const char* text = PyUnicode_AsUTF8(code->co_filename);
  if (!text) PyErr_Clear();
  return text ? text : "";
}

bool passed_over(PyCodeObject* code) {
  Sites& s = sites();
  auto* object = reinterpret_cast<PyObject*>(code);
  if (const auto it = s.is_internal.find(object); it != s.is_internal.end()) return it->second;
  const std::string file = file_of(code);
  bool internal = file.rfind("<frozen ", 0) == 0;
  for (const std::string& folder : s.internal) internal |= file.rfind(folder, 0) == 0;
  if (s.is_internal.size() < kMostCodes) {
    Py_INCREF(object);
    s.is_internal.emplace(object, internal);
  }
  return internal;
}

int32_t intern(PyCodeObject* code, PyFrameObject* frame) {
  Sites& s = sites();
#if PY_VERSION_HEX >= 0x030B0000
  const Key key{reinterpret_cast<PyObject*>(code), PyFrame_GetLasti(frame)};
#else
  const Key key{reinterpret_cast<PyObject*>(code), PyFrame_GetLineNumber(frame)};
#endif
  if (const auto it = s.ids.find(key); it != s.ids.end()) return it->second;
  const std::string text = file_of(code) + ":" + std::to_string(PyFrame_GetLineNumber(frame));
  const auto [it, fresh] = s.by_text.emplace(text, 0);
  if (fresh) {
    std::lock_guard lock(s.mutex);
    it->second = static_cast<int32_t>(s.texts.size());
    s.texts.push_back(text);
  }
  if (s.is_internal.count(key.code)) s.ids.emplace(key, it->second);
  return it->second;
}

bool finalising() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

int32_t capture() {
  // A thread that Python does not know (autograd's) has no line to tell; it does not wait for
  // the GIL either.
  if (!Py_IsInitialized() || finalising() || !PyGILState_GetThisThreadState()) return 0;
  const py::gil_scoped_acquire gil;
  py::object frame =
      py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  while (frame) {
    auto* f = reinterpret_cast<PyFrameObject*>(frame.ptr());
    const py::object code =
        py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetCode(f)));
    auto* c = reinterpret_cast<PyCodeObject*>(code.ptr());
    if (!passed_over(c)) return intern(c, f);
    frame = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetBack(f)));
  }
  return 0;
}

std::string text(int32_t site) {
  Sites& s = sites();
  std::lock_guard lock(s.mutex);
  return site > 0 && static_cast<size_t>(site) < s.texts.size() ? s.texts[site] : std::string();
}

void* leave_python() {
  const bool held = Py_IsInitialized() && !finalising() && PyGILState_Check();
  return held ? PyEval_SaveThread() : nullptr;
}
void enter_python(void* state) { PyEval_RestoreThread(static_cast<PyThreadState*>(state)); }

}  // namespace

void add_site(py::module_& m) {
  m.def("_set_internal_folders",
        [](std::vector<std::string> folders) { sites().internal = std::move(folders); });
  m.def("_capture_site", &capture);
  m.def("_site_text", &text);
  set_site_hooks(&capture, &text);
  set_wait_hooks(&leave_python, &enter_python);
}

}  // namespace trn::bind
