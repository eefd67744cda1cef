// A packet as one line of text, and back.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "driver/packet.h"

namespace trn::driver {
namespace {

bool holds_integer(DType t) { return t <= DType::i64 || t == DType::b8 || t >= DType::u16; }

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

bool is_dense(const Operand& o) {
  int64_t expected = 1;
  for (int d = o.ndim - 1; d >= 0; --d) {
    if (o.sizes[d] != 1 && o.strides[d] != expected) return false;
    expected *= o.sizes[d];
  }
  return true;
}

void append_list(std::string& s, const int64_t* values, int n) {
  for (int d = 0; d < n; ++d) s += (d ? "x" : "") + std::to_string(values[d]);
}

// "none", "3:i64" (an immediate), "4x8:f32", "scalar:f32", "4x8@1x4:f32" (not dense).
void append_operand(std::string& s, const Operand& o) {
  if (o.absent()) {
    s += "none";
    return;
  }
  if (!o.data && o.ndim == 0) {
    s += "=" + (holds_integer(o.dtype) ? std::to_string(o.value.i) : number(o.value.r[0]));
  } else if (o.ndim == 0) {
    s += "scalar";
  } else {
    append_list(s, o.sizes, o.ndim);
    if (!is_dense(o)) {
      s += '@';
      append_list(s, o.strides, o.ndim);
    }
  }
  s += ':';
  s += dtype_name(o.dtype);
}

std::string full_name(const Kernel& k) {
  return std::string(k.name) + "_" + dtype_name(k.dtype) + "_" + isa_name(k.isa);
}

std::string describe_call(const Call& c) {
  std::string s = full_name(*c.kernel) + ",";
  for (int i = 0; i < c.noperands; ++i) {
    if (i) s += i == c.noutputs ? '>' : '|';
    append_operand(s, c.operand[i]);
  }
  s += ",ints=";
  for (int i = 0; i < c.nints; ++i) s += (i ? ";" : "") + std::to_string(c.ints[i]);
  s += ",reals=";
  for (int i = 0; i < c.nreals; ++i) s += (i ? ";" : "") + number(c.reals[i]);
  return s + ",work=" + std::to_string(c.work) + ";" + std::to_string(c.grain);
}

std::vector<std::string_view> split(std::string_view text, std::string_view at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find_first_of(at);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

int64_t to_integer(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool parse_operand(std::string_view text, Operand& o) {
  o = Operand{};
  o.ndim = -1;
  if (text == "none") return true;
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return false;
  const std::string_view type = text.substr(colon + 1);
  int found = -1;
  for (int t = 0; t < kDTypes; ++t)
    if (type == dtype_name(static_cast<DType>(t))) found = t;
  if (found < 0) return false;
  o.dtype = static_cast<DType>(found);
  o.ndim = 0;
  text = text.substr(0, colon);
  if (text == "scalar") return true;
  if (text.starts_with('=')) {
    const std::string value(text.substr(1));
    if (holds_integer(o.dtype)) o.value.i = std::atoll(value.c_str());
    else o.value.r[0] = std::atof(value.c_str());
    return true;
  }
  const auto parts = split(text, "@");
  const auto sizes = split(parts[0], "x");
  if (sizes.size() > kMaxDims) return false;
  o.ndim = static_cast<int8_t>(sizes.size());
  int64_t stride = 1;
  for (int d = o.ndim - 1; d >= 0; --d) {
    o.sizes[d] = to_integer(sizes[d]);
    o.strides[d] = stride;
    stride *= o.sizes[d];
  }
  if (parts.size() < 2) return true;
  const auto strides = split(parts[1], "x");
  if (strides.size() != sizes.size()) return false;
  for (int d = 0; d < o.ndim; ++d) o.strides[d] = to_integer(strides[d]);
  return true;
}

const Kernel* kernel_named(std::string_view name) {
  std::vector<const Kernel*> all(static_cast<size_t>(all_kernels(nullptr, 0)));
  all_kernels(all.data(), static_cast<int64_t>(all.size()));
  for (const Kernel* k : all)
    if (full_name(*k) == name) return k;
  return nullptr;
}

}  // namespace

std::string describe(const Packet& p) {
  switch (p.kind) {
    case PacketKind::kernel: return "exec," + describe_call(p.call);
    case PacketKind::copy: {
      static const char* const names[] = {"host_to_device", "device_to_host", "device_to_device"};
      return std::string("copy,") + names[static_cast<int>(p.direction)] + "," +
             std::to_string(p.bytes);
    }
    case PacketKind::upload: return "copy,upload," + std::to_string(p.bytes);
    case PacketKind::fill: return "fill," + std::to_string(p.bytes);
    case PacketKind::wait: return "wait," + std::to_string(p.value);
    case PacketKind::stamp: return "stamp";
  }
  return "?";
}

Result<Packet> parse_launch(const std::string& line) {
  const auto wrong = [&](const std::string& why) {
    return Status(Code::invalid_argument, why + ": " + line);
  };
  std::string_view text = line;
  if (text.starts_with("trn,")) text.remove_prefix(4);
  const auto fields = split(text, ",");
  if (fields.size() != 6 || fields[0] != "exec" || !fields[3].starts_with("ints=") ||
      !fields[4].starts_with("reals=") || !fields[5].starts_with("work="))
    return wrong("not a line of a launch");
  Packet packet{};
  packet.kind = PacketKind::kernel;
  Call& call = packet.call;
  call.kernel = kernel_named(fields[1]);
  if (!call.kernel) return wrong("no kernel is called " + std::string(fields[1]));
  const auto operands = split(fields[2], "|>");
  const auto ints = split(fields[3].substr(5), ";"), reals = split(fields[4].substr(6), ";");
  if (operands.size() > kMaxOperands || ints.size() > kMaxInts || reals.size() > kMaxReals)
    return wrong("more than a launch can hold");
  for (std::string_view o : operands)
    if (!parse_operand(o, call.operand[call.noperands++])) return wrong("not an operand");
  const std::string_view outputs = fields[2].substr(0, fields[2].find('>'));
  call.noutputs = static_cast<int32_t>(split(outputs, "|").size());
  for (std::string_view i : ints) call.ints[call.nints++] = to_integer(i);
  for (std::string_view r : reals) call.reals[call.nreals++] = std::atof(std::string(r).c_str());
  const auto work = split(fields[5].substr(5), ";");
  call.work = to_integer(work[0]);
  call.grain = work.size() > 1 ? to_integer(work[1]) : 1;
  return packet;
}

}  // namespace trn::driver
