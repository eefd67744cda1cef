// A packet as one line of text.
#include <cstdio>

#include "driver/driver.h"

namespace trn::driver {
namespace {

void append_operand(std::string& s, const Operand& o) {
  if (o.absent()) {
    s += "none";
  } else if (!o.data && o.ndim == 0) {
    char text[48];
    const bool integral = o.dtype <= DType::i64 || o.dtype == DType::b8 || o.dtype >= DType::u16;
    if (integral)
      std::snprintf(text, sizeof text, "%lld:", static_cast<long long>(o.value.i));
    else
      std::snprintf(text, sizeof text, "%g:", o.value.r[0]);
    s += text;
    s += dtype_name(o.dtype);
  } else {
    for (int d = 0; d < o.ndim; ++d) s += (d ? "x" : "") + std::to_string(o.sizes[d]);
    if (o.ndim == 0) s += "scalar";
    s += ':';
    s += dtype_name(o.dtype);
  }
}

std::string describe_call(const Call& c) {
  std::string s = std::string(c.kernel->name) + "_" + dtype_name(c.kernel->dtype) + "_" +
                  isa_name(c.kernel->isa) + ",";
  for (int i = 0; i < c.noperands; ++i) {
    if (i) s += '|';
    append_operand(s, c.operand[i]);
  }
  s += ",ints=";
  for (int i = 0; i < c.nints; ++i) s += (i ? ";" : "") + std::to_string(c.ints[i]);
  s += ",reals=";
  for (int i = 0; i < c.nreals; ++i) {
    char text[32];
    std::snprintf(text, sizeof text, "%s%g", i ? ";" : "", c.reals[i]);
    s += text;
  }
  return s;
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

}  // namespace trn::driver
