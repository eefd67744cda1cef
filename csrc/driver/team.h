// Threads that run one function at the same time and wait for each other inside it.
#pragma once

namespace trn::driver {

// Calls run(context) on `threads` threads at once, this one among them, and returns when all have
// returned. Inside a team, and while another queue has the team, this thread runs it alone.
// The function may ask the three below. Host code only: kernels are chunked by the pool.
void run_team(void (*run)(void*), void* context, int threads);

int team_rank();      // of this thread, from 0; 0 outside a team
int team_size();      // how many run the function; 1 outside a team
void team_barrier();  // waits until all of the team are here

}  // namespace trn::driver
