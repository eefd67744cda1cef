"""Loading generated C++ so that calling it queues it."""

from __future__ import annotations

from torch._inductor.async_compile import get_compile_threads
from torch._inductor.codecache import CppPythonBindingsCodeCache, LambdaFuture

# Arguments are bound by value: pointers to device memory, sizes, scalars. The library is found by
# name because this code outlives the process in a cache. Braces are doubled for str.format.
_LAUNCH = r"""
#include <dlfcn.h>
#include <tuple>
#include <utility>
template <class Function, class... Args>
struct TrnBound {{
  Function* function;
  std::tuple<Args...> args;
  static void run(void* self) {{
    auto* bound = static_cast<TrnBound*>(self);
    std::apply(bound->function, bound->args);
    delete bound;
  }}
}};
template <class... Params, class... Args>
static void trn_launch(void (*function)(Params...), Args... args) {{
  using Submit = void (*)(void (*)(void*), void*);
  static const auto submit = [] {{
    void* library = dlopen("libtorch_trn.so", RTLD_NOLOAD | RTLD_NOW);
    return reinterpret_cast<Submit>(library ? dlsym(library, "trn_launch_host_function") : nullptr);
  }}();
  if (!submit) throw std::runtime_error("torch-trn is not loaded");
  using Bound = TrnBound<void(Params...), Args...>;
  submit(&Bound::run, new Bound{{function, {{args...}}}});
}}
"""


class QueuedBindings(CppPythonBindingsCodeCache):
    """Inductor's bindings of a C++ kernel, queueing the call rather than making it."""

    cache: dict = {}
    call_entry_function = "trn_launch(&kernel, {}); Py_RETURN_NONE;"
    extra_parse_arg = _LAUNCH


def on_queue(async_compile, argtypes: list[str], source: str):
    """Like ``AsyncCompile.cpp_pybinding``: compiles `source` and binds its function `kernel`.

    The returned callable takes tensors and numbers and returns when the call is queued on the
    current stream.
    """
    if get_compile_threads() <= 1:
        return QueuedBindings.load_pybinding(argtypes, source)
    result = QueuedBindings.load_pybinding_async(argtypes, source, submit_fn=async_compile.submit)
    return LambdaFuture(result)
