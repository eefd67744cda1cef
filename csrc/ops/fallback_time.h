// How long the fallback took: of the host, copies and computing together.
#pragma once

#include <map>
#include <string>
#include <utility>

namespace trn::ops {

// Seconds since the start or the last reset_fallback_counts, by (operator, line).
std::map<std::pair<std::string, std::string>, double> fallback_seconds_by_line();

}  // namespace trn::ops
