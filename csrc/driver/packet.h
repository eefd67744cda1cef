// Packets beyond one submit: copies of them, for queues and for graphs.
#pragma once

#include "driver/driver.h"

namespace trn::driver {

// Copies the part of a packet that its kind uses: most launches have two or three operands.
void copy_packet(Packet& to, const Packet& from);

// The launch that describe() made a line of, with null data; a line of anything else, or of a
// kernel that this library lacks, is an invalid_argument.
Result<Packet> parse_launch(const std::string& line);

}  // namespace trn::driver
