// TRN_STRICT=poison,bounds,races: what a debugging run checks of every launch before it is queued.
#pragma once

#include <cstdint>

#include "runtime/stream.h"

namespace trn::runtime::strict {

// Whether any check is on; read once. Everything below is called only then.
bool enabled();

// poison: fresh memory is filled with 0xFF bytes, which every floating-point type reads as NaN.
// bounds: notes what may be touched: `requested` bytes at ptr.
void allocated(void* ptr, int64_t requested, c10::Stream stream);
// The same for memory that comes with values in it.
void mapped(void* ptr, int64_t bytes);
void freed(void* ptr);

// bounds: raises when a launch reaches outside of one live allocation.
// races: raises when a launch touches memory that another stream's launch touched, one of them
// writing, and no event or synchronisation stands between them. The message names both lines.
void check(c10::Stream stream, const driver::Packet& packet);

// How streams come to be ordered: by events, and by the host waiting. An event that the runtime
// made itself was not recorded: it counts as coming after everything.
void recorded(const Event& event, c10::Stream stream);
void blocked(const Event& event, c10::Stream stream);
void host_saw(const Event& event);
void host_saw(c10::Stream stream);
void host_saw_all();

}  // namespace trn::runtime::strict
