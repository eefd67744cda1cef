// How far float results are from double ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace trn {
namespace {

// Distance from y to the exact value in units of the last place of float.
double ulps(float y, double exact) {
  if (std::isnan(exact)) return std::isnan(y) ? 0 : 1e9;
  const float rounded = static_cast<float>(exact);
  if (std::isinf(rounded)) return y == rounded || std::isinf(y) ? 0 : 1e9;
  const float a = std::fabs(rounded);
  const double unit = a < std::numeric_limits<float>::min()
                          ? static_cast<double>(std::numeric_limits<float>::denorm_min())
                          : std::ldexp(1.0, std::ilogb(a) - 23);
  return std::fabs(static_cast<double>(y) - exact) / unit;
}

template <class F, class G>
double worst(F f, G exact, float from, float to, int steps = 2000000) {
  double most = 0;
  for (int i = 0; i <= steps; ++i) {
    const float x = from + (to - from) * static_cast<float>(i) / static_cast<float>(steps);
    most = std::max(most, ulps(f(x), exact(static_cast<double>(x))));
  }
  return most;
}

}  // namespace
}  // namespace trn
