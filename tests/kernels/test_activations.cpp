// silu, mish and gelu against double, into their tails; the same of four registers at a time.
#include <gtest/gtest.h>

#include <cmath>

#include "activations.h"
#include "ulps.h"
#include "wide.h"

namespace trn {
namespace {

double normal_below(double x) { return std::erfc(-x * M_SQRT1_2) / 2; }
double gelu(double x) { return x * normal_below(x); }
double gelu_tanh(double x) {
  return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double silu(double x) { return x / (1 + std::exp(-x)); }
double mish(double x) { return x * std::tanh(std::log1p(std::exp(x))); }

TEST(Activations, GeluKeepsItsDigitsInBothTails) {
  EXPECT_LE(worst([](float x) { return fast_gelu(x); }, gelu, -15.f, 15.f), 8);
  EXPECT_LE(worst([](float x) { return fast_gelu(x); }, gelu, -1e-3f, 1e-3f), 4);
  EXPECT_EQ(fast_gelu(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(fast_gelu(-INFINITY)));
  EXPECT_TRUE(std::isnan(fast_gelu(NAN)));
  EXPECT_TRUE(std::signbit(fast_gelu(-0.f)));
  EXPECT_EQ(fast_gelu(3e38f), 3e38f);
  EXPECT_EQ(fast_gelu(-3e38f), 0);
}

TEST(Activations, RoughGeluIsGoodToADozenBits) {
  for (float x = -13; x < 13; x += 1e-4f)
    ASSERT_NEAR(rough_gelu(x), gelu(x), std::fabs(gelu(x)) * 4e-4) << x;
  EXPECT_TRUE(std::isnan(rough_gelu(-INFINITY)));
  EXPECT_TRUE(std::isnan(rough_gelu(NAN)));
  EXPECT_EQ(rough_gelu(INFINITY), INFINITY);
  EXPECT_TRUE(std::signbit(rough_gelu(-0.f)));
  EXPECT_EQ(rough_gelu(-3e38f), 0);
}

TEST(Activations, GeluByTanhIsWithinFourUlps) {
  EXPECT_LE(worst([](float x) { return fast_gelu_tanh(x); }, gelu_tanh, -12.f, 12.f), 4);
  EXPECT_EQ(fast_gelu_tanh(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(fast_gelu_tanh(-INFINITY)));
  EXPECT_EQ(fast_gelu_tanh(3e38f), 3e38f);
  EXPECT_EQ(fast_gelu_tanh(-3e38f), 0);
}

TEST(Activations, SlopeOfGeluIsWithinAMillionth) {
  for (float x = -20; x < 20; x += 1e-4f) {
    const double exact = normal_below(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    ASSERT_NEAR(fast_gelu_slope(x), exact, 1e-6) << x;
  }
}

TEST(Activations, SiluAndMishKeepTheDigitsOfSmallResults) {
  EXPECT_LE(worst([](float x) { return fast_silu(x); }, silu, -110.f, 40.f), 4);
  EXPECT_LE(worst([](float x) { return fast_mish(x); }, mish, -110.f, 40.f), 5);
  EXPECT_TRUE(std::isnan(fast_silu(-INFINITY)));
  EXPECT_EQ(fast_silu(INFINITY), INFINITY);
  EXPECT_EQ(fast_silu(-3e38f), 0);
  EXPECT_TRUE(std::signbit(fast_silu(-0.f)));
}

// f of all numbers in a run of n, from `at` on in a row of numbers.
template <class F>
void expect_same_in_wides(F f) {
  float in[300], out[300];
  for (int i = 0; i < 300; ++i) in[i] = static_cast<float>(i - 150) * 0.11f;
  for (int n : {1, 3, 15, 16, 17, 63, 64, 65, 130})
    for (int at : {0, 1, 7}) {
      std::fill(out, out + 300, -77.f);
      const float* from = in + at;
      by_wides<1>(out, &from, n, [&](Wide x, Wide, Wide) { return f(x); });
      for (int i = 0; i < n; ++i) EXPECT_LE(ulps(out[i], f(in[at + i])), 2) << in[at + i];
      EXPECT_EQ(out[n], -77.f);
    }
}

TEST(Wides, ComputeWhatNumbersDo) {
  expect_same_in_wides([](auto x) { return fast_exp(x); });
  expect_same_in_wides([](auto x) { return fast_tanh(x); });
  expect_same_in_wides([](auto x) { return fast_sigmoid(x); });
  expect_same_in_wides([](auto x) { return fast_silu(x); });
  expect_same_in_wides([](auto x) { return fast_mish(x); });
  expect_same_in_wides([](auto x) { return fast_gelu(x); });
  expect_same_in_wides([](auto x) { return rough_gelu(x); });
  expect_same_in_wides([](auto x) { return fast_gelu_tanh(x); });
}

TEST(Wides, RoundBfloat16AsNumbersDo) {
  // Every upper half with the lower halves around a tie, NaN and infinities among them.
  alignas(64) bf16_t out[kWide];
  alignas(64) float in[kWide];
  for (uint32_t high = 0; high < 65536; high += kWide / 4) {
    for (uint32_t k = 0; k < kWide; ++k) {
      constexpr uint32_t kLow[] = {0, 0x7fff, 0x8000, 0x8001};
      in[k] = bit_cast<float>((high + k / 4) << 16 | kLow[k % 4]);
    }
    // Numbers go to the lanes in which load_wide would have put them.
    alignas(64) bf16_t place[kWide];
    for (int k = 0; k < kWide; ++k) place[k] = bf16_t(static_cast<float>(k));
    alignas(64) float lane[kWide];
    store_wide(lane, load_wide(place));
    alignas(64) float moved[kWide];
    for (int k = 0; k < kWide; ++k) moved[k] = in[static_cast<int>(lane[k])];
    store_wide(out, load_wide(moved));
    for (int k = 0; k < kWide; ++k) EXPECT_EQ(out[k].bits, bf16_t(in[k]).bits) << high;
  }
}

TEST(Wides, SumAndLargestLookAtEveryLane) {
  for (int at = 0; at < kWide; ++at) {
    float x[kWide] = {};
    x[at] = 3;
    EXPECT_EQ(sum_of(load_wide(x)), 3);
    EXPECT_EQ(largest_of(load_wide(x)), 3);
    EXPECT_EQ(sum_of(load_wide(x, at)), 0);
  }
}

}  // namespace
}  // namespace trn
