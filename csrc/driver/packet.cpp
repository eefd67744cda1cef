// Copies of packets.
#include "driver/packet.h"

#include <cstddef>
#include <cstring>

namespace trn::driver {

void copy_packet(Packet& to, const Packet& from) {
  size_t bytes = offsetof(Packet, call);
  if (from.kind == PacketKind::kernel)
    bytes += offsetof(Call, operand) + from.call.noperands * sizeof(Operand);
  else if (from.kind == PacketKind::upload) bytes += static_cast<size_t>(from.bytes);
  std::memcpy(static_cast<void*>(&to), &from, bytes);
}

}  // namespace trn::driver
