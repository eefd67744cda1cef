// Runs a launch again from its line of text, on memory of its own, and times it.
#include "bind/bind.h"
#include "driver/packet.h"
#include "runtime/allocator.h"
#include "runtime/stream.h"

namespace py = pybind11;

namespace trn::bind {
namespace {

// Numbers for operands that are to mean nothing: floating point about 0.7 whatever its width,
// integers 0, which is an index that always exists.
int filler(DType t) { return t <= DType::i64 || t == DType::b8 || t >= DType::u16 ? 0 : 0x3f; }

void queue_fill(void* at, int64_t bytes, int value) {
  driver::Packet fill{};
  fill.kind = driver::PacketKind::fill;
  fill.dst = at;
  fill.bytes = bytes;
  fill.value = static_cast<uint64_t>(value);
  runtime::submit(-1, fill);
}

c10::DataPtr give_memory(Operand& o) {
  int64_t low = 0, high = 0;
  for (int d = 0; d < o.ndim; ++d)
    (o.strides[d] < 0 ? low : high) += (o.sizes[d] - 1) * o.strides[d];
  const int64_t size = dtype_size(o.dtype), bytes = (high - low + 1) * size;
  c10::DataPtr memory = runtime::allocator()->allocate(bytes);
  o.data = static_cast<char*>(memory.get()) - low * size;
  queue_fill(memory.get(), bytes, filler(o.dtype));
  return memory;
}

// An immediate is an operand without memory, written with "="; a scalar in memory has some.
bool wants_memory(const Operand& o, const std::string& text) {
  return !o.absent() && text.find('=') == std::string::npos;
}

std::vector<std::string> operand_texts(const std::string& line) {
  std::vector<std::string> texts(1);
  size_t at = line.find(',', line.find("exec,") + 5) + 1;
  for (; at < line.size() && line[at] != ','; ++at)
    if (line[at] == '|' || line[at] == '>') texts.emplace_back();
    else texts.back() += line[at];
  return texts;
}

std::vector<double> replay(const std::string& line, int times) {
  auto parsed = driver::parse_launch(line);
  TORCH_CHECK_VALUE(parsed.ok(), parsed.status().message());
  driver::Packet packet = parsed.value();
  const auto texts = operand_texts(line);
  std::vector<c10::DataPtr> memory;
  for (int i = 0; i < packet.call.noperands; ++i)
    if (wants_memory(packet.call.operand[i], texts[i]))
      memory.push_back(give_memory(packet.call.operand[i]));
  const c10::Stream stream = runtime::current_stream(-1);
  std::vector<double> microseconds;
  for (int i = 0; i < times; ++i) {
    runtime::Event before, after;
    runtime::record(before, stream, /*timing=*/true);
    runtime::submit(stream, packet);
    runtime::record(after, stream, /*timing=*/true);
    runtime::synchronize(stream);
    microseconds.push_back(runtime::elapsed_ms(before, after) * 1e3);
  }
  return microseconds;
}

}  // namespace

void add_replay(py::module_& m) {
  m.def("_replay", &replay, py::call_guard<py::gil_scoped_release>());
}

}  // namespace trn::bind
