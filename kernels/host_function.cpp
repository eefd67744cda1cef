// A function of the host as a kernel: what a compiler made at run time, in the queue's order.
//
// ints: the address of void run(void* context), the address of its context, of what frees the
// context afterwards, or 0, and of the function's name. One item: the function splits its work
// itself. The operands say what it touches, for whoever prints the packet.
#include "kernel.h"

namespace trn {
namespace {

void host_function(const Call& call, const Range& range) {
  if (range.begin != 0) return;
  using Function = void (*)(void*);
  void* context = reinterpret_cast<void*>(call.ints[1]);
  reinterpret_cast<Function>(call.ints[0])(context);
  if (const auto free = reinterpret_cast<Function>(call.ints[2])) free(context);
}

TRN_REGISTER("host_function", DType::u8, host_function);

}  // namespace
}  // namespace trn
