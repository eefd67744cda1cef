// Redirecting CUDA at the dispatcher: while it is on, what asks for a cuda device gets trn.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace trn::ops {

// Registers the CUDA dispatch key's factories, a CUDA device guard and a CUDA allocator that give
// trn tensors, and makes `to` know that cuda means trn. Calling it twice changes nothing.
void enter_migration();
// Takes all of it back; a CUDA build of PyTorch has its own again.
void leave_migration();
bool migration_is_on() noexcept;

// How often each thing was redirected since the start, and the first line that did it.
struct Redirection {
  int64_t calls = 0;
  int32_t site = 0;
};
std::map<std::string, Redirection> redirections();
// Counts one; for the layer above, which redirects what the dispatcher does not see.
void note_redirection(const std::string& what);

}  // namespace trn::ops
