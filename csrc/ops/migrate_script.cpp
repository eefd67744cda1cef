// See migrate_script.h.
#include "ops/migrate_script.h"

#include <torch/csrc/jit/runtime/operator.h>

#include <memory>

namespace trn::ops {
namespace {

using torch::jit::Operation;
using torch::jit::Operator;

std::shared_ptr<Operator> original;

std::shared_ptr<Operator> find_to_device() {
  const auto name = c10::Symbol::fromQualString("aten::to");
  for (const auto& op : torch::jit::getAllOperatorsFor(name))
    if (op->schema().overload_name() == "prim_Device") return op;
  return nullptr;
}

void replace(const Operator& by, Operation operation) {
  const c10::FunctionSchema schema = by.schema();
  torch::jit::deregisterOperator(schema);
  torch::jit::registerOperator(Operator(schema.name(), schema.overload_name(), schema.arguments(),
                                        schema.returns(), std::move(operation),
                                        by.aliasAnalysisKind()));
}

}  // namespace

// It would initialise CUDA before it calls the dispatcher's operator.
void redirect_script() {
  original = find_to_device();
  if (!original) return;
  const size_t arguments = original->schema().arguments().size();
  replace(*original, [arguments, to = original->getOperation()](torch::jit::Stack& stack) mutable {
    c10::IValue& device = stack[stack.size() - arguments + 1];
    if (device.isDevice() && device.toDevice().is_cuda())
      device = c10::Device(c10::kPrivateUse1, device.toDevice().index());
    to(stack);
  });
}

void restore_script() {
  if (!original) return;
  replace(*original, original->getOperation());
  original.reset();
}

}  // namespace trn::ops
