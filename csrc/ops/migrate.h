// Redirecting CUDA at the dispatcher: while it is on, what asks for a cuda device gets trn.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace trn::ops {

// Registers the CUDA dispatch key's factories, a CUDA device guard and a CUDA allocator that give
// trn tensors, and makes `to` know that cuda means trn. Calling it twice changes nothing.
void enter_migration();
// Takes all of it back; a CUDA build of PyTorch has its own again.
void leave_migration();
bool migration_is_on() noexcept;

// How often each thing was redirected since the start, by (what, line that asked for it).
using Redirections = std::map<std::pair<std::string, int32_t>, int64_t>;
Redirections redirections();
// A number for what is redirected ("torch.cuda.synchronize"), the same for the same text.
int32_t redirection_id(const std::string& what);
// Counts one; also for the layer above, which redirects what the dispatcher does not see.
void note_redirection(int32_t id);

}  // namespace trn::ops
