// Call sites: which line of the user's program launched something. The layer that knows Python
// gives the two hooks; below it a site is a number, and 0 means nobody knows.
#pragma once

#include <cstdint>
#include <string>

namespace trn {

// The site of the caller, by the hook; 0 without one.
int32_t capture_site();
// "train.py:17", or empty for 0.
std::string site_text(int32_t site);

void set_site_hooks(int32_t (*capture)(), std::string (*text)(int32_t));

}  // namespace trn
