// Half-precision conversions, exhaustively, against arithmetic on doubles.
#include <gtest/gtest.h>

#include <cmath>

#include "convert.h"

namespace trn {
namespace {

// The value of a half by its definition.
double half_value(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return mantissa ? std::nan("") : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24));
}

TEST(Convert, EveryHalfHasItsValue) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float x = f16_to_float(static_cast<uint16_t>(bits));
    const double expected = half_value(static_cast<uint16_t>(bits));
    EXPECT_TRUE(std::isnan(expected) ? std::isnan(x) : x == expected) << bits;
  }
}

TEST(Convert, HalvesComeBackFromFloat) {
  for (int bits = 0; bits < 65536; ++bits) {
    const double v = half_value(static_cast<uint16_t>(bits));
    EXPECT_TRUE(std::isnan(v) || float_to_f16(static_cast<float>(v)) == bits) << bits;
  }
}

TEST(Convert, FloatsRoundToTheNearestHalf) {
  // Between each pair of neighbours: below, at and above the middle; ties go to the even one.
  for (int bits = 0; bits < 0x7bff; ++bits) {
    const double low = half_value(static_cast<uint16_t>(bits)),
                 high = half_value(static_cast<uint16_t>(bits + 1));
    const double middle = (low + high) / 2;
    EXPECT_EQ(float_to_f16(static_cast<float>(middle)), bits & 1 ? bits + 1 : bits);
    EXPECT_EQ(float_to_f16(std::nextafterf(static_cast<float>(middle), 0.f)), bits);
    EXPECT_EQ(float_to_f16(std::nextafterf(static_cast<float>(middle), 1e9f)), bits + 1);
  }
  EXPECT_EQ(float_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.f), 0x7c00);
  EXPECT_EQ(float_to_f16(INFINITY), 0x7c00);
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(NAN))));
}

TEST(Convert, Bfloat16RoundsToNearestEven) {
  for (uint32_t high = 0; high < 65536; ++high) {
    const float x = bit_cast<float>(high << 16);
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(x))));
      continue;
    }
    EXPECT_EQ(float_to_bf16(x), high);
    EXPECT_EQ(bf16_to_float(static_cast<uint16_t>(high)), x);
    if (std::isinf(x)) continue;
    EXPECT_EQ(float_to_bf16(bit_cast<float>(high << 16 | 0x7fff)), high);
    EXPECT_EQ(float_to_bf16(bit_cast<float>(high << 16 | 0x8000)), high & 1 ? high + 1 : high);
    EXPECT_EQ(float_to_bf16(bit_cast<float>(high << 16 | 0x8001)), high + 1);
  }
}

}  // namespace
}  // namespace trn
