// The float functions against double, over a dense sweep and the special values.
#include <gtest/gtest.h>

#include <cmath>

#include "activations.h"
#include "ulps.h"

namespace trn {
namespace {

TEST(Math, ExpIsWithinTwoUlps) {
  EXPECT_LE(worst([](float x) { return fast_exp(x); }, [](double x) { return std::exp(x); }, -104.f,
                  88.7f),
            2);
  EXPECT_EQ(fast_exp(INFINITY), INFINITY);
  EXPECT_EQ(fast_exp(-INFINITY), 0);
  EXPECT_EQ(fast_exp(89.f), INFINITY);
  EXPECT_TRUE(std::isnan(fast_exp(NAN)));
}

TEST(Math, LogIsWithinTwoUlps) {
  EXPECT_LE(
      worst([](float x) { return fast_log(x); }, [](double x) { return std::log(x); }, 1e-6f, 4.f),
      2);
  EXPECT_LE(
      worst([](float x) { return fast_log(x); }, [](double x) { return std::log(x); }, 4.f, 1e30f),
      2);
  EXPECT_EQ(fast_log(0.f), -INFINITY);
  EXPECT_EQ(fast_log(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(fast_log(-1.f)));
  EXPECT_TRUE(std::isnan(fast_log(NAN)));
  EXPECT_LE(ulps(fast_log(1e-40f), std::log(static_cast<double>(1e-40f))), 2);
}

TEST(Math, TanhIsWithinTwoUlps) {
  EXPECT_LE(worst([](float x) { return fast_tanh(x); }, [](double x) { return std::tanh(x); },
                  -12.f, 12.f),
            2);
  EXPECT_EQ(fast_tanh(INFINITY), 1);
  EXPECT_EQ(fast_tanh(-INFINITY), -1);
  EXPECT_TRUE(std::isnan(fast_tanh(NAN)));
}

TEST(Math, SigmoidIsWithinThreeUlps) {
  EXPECT_LE(worst([](float x) { return fast_sigmoid(x); },
                  [](double x) { return 1 / (1 + std::exp(-x)); }, -80.f, 30.f),
            3);
}

TEST(Math, SineAndCosineAreWithinTwoUlps) {
  EXPECT_LE(worst([](float x) { return fast_sine(x, 0); }, [](double x) { return std::sin(x); },
                  -100.f, 100.f),
            2);
  EXPECT_LE(worst([](float x) { return fast_sine(x, 1); }, [](double x) { return std::cos(x); },
                  -100.f, 100.f),
            2);
}

// Each function over its domain, and its values where the formula has none.
#define TRN_WITHIN(name, from, to, most)                                                      \
  EXPECT_LE(worst([](float x) { return m_##name(x); }, [](double x) { return std::name(x); }, \
                  from, to, 400000),                                                          \
            most)                                                                             \
      << #name
#define TRN_SPECIAL(name)                                                                        \
  for (float x : {0.f, -0.f, 1.f, -1.f, 0.5f, 3.f, -3.f, 1e-40f, -1e-40f, 1e30f, -1e30f, 89.2f,  \
                  -89.2f, INFINITY, -INFINITY, NAN}) {                                           \
    const double exact = std::name(static_cast<double>(x));                                      \
    EXPECT_LE(ulps(m_##name(x), exact), 3) << #name << "(" << x << ")";                          \
    if (exact == 0) { EXPECT_EQ(std::signbit(m_##name(x)), std::signbit(exact)) << #name << x; } \
  }

TEST(Math, LogarithmsAreWithinTwoUlps) {
  TRN_WITHIN(log2, 1e-6f, 4.f, 2);
  TRN_WITHIN(log2, 4.f, 1e30f, 2);
  TRN_WITHIN(log10, 1e-6f, 4.f, 2);
  TRN_WITHIN(log10, 4.f, 1e30f, 2);
  TRN_WITHIN(log1p, -0.9999f, 4.f, 2);
  TRN_WITHIN(log1p, 4.f, 1e30f, 2);
  TRN_WITHIN(exp2, -150.f, 128.f, 1);
  TRN_SPECIAL(log2);
  TRN_SPECIAL(log10);
  TRN_SPECIAL(log1p);
  TRN_SPECIAL(exp2);
}

TEST(Math, AnglesAreWithinTwoUlps) {
  EXPECT_LE(worst([](float x) { return fast_tan(x); }, [](double x) { return std::tan(x); },
                  -kMostAngle, kMostAngle),
            2);
  TRN_WITHIN(asin, -1.f, 1.f, 2);
  TRN_WITHIN(acos, -1.f, 1.f, 2);
  TRN_WITHIN(atan, -5.f, 5.f, 2);
  TRN_WITHIN(atan, -1e30f, 1e30f, 2);
  TRN_WITHIN(erf, -5.f, 5.f, 2);
  TRN_SPECIAL(asin);
  TRN_SPECIAL(acos);
  TRN_SPECIAL(atan);
  TRN_SPECIAL(erf);
}

TEST(Math, HyperbolicFunctionsAreWithinTwoUlps) {
  TRN_WITHIN(sinh, -89.4f, 89.4f, 2);
  TRN_WITHIN(cosh, -89.4f, 89.4f, 2);
  TRN_WITHIN(asinh, -1e5f, 1e5f, 2);
  TRN_WITHIN(asinh, -1.f, 1.f, 2);
  TRN_WITHIN(acosh, 1.f, 1e5f, 2);
  TRN_WITHIN(atanh, -0.99999f, 0.99999f, 2);
  TRN_SPECIAL(sinh);
  TRN_SPECIAL(cosh);
  TRN_SPECIAL(asinh);
  TRN_SPECIAL(acosh);
  TRN_SPECIAL(atanh);
}

TEST(Math, FunctionsOfTwoAgreeWithCOnSpecialValues) {
  const float values[] = {0.f,       -0.f, 1.f,    -1.f,    0.5f,   -0.5f, 2.f,  -2.f,
                          3.f,       -3.f, 1e-40f, 1e38f,   7.f,    -1e5f, 0.3f, INFINITY,
                          -INFINITY, NAN,  -7.f,   -1e-40f, -1e38f, 1e10f};
  for (float x : values)
    for (float y : values) {
      const double a = x, b = y;
      EXPECT_LE(ulps(m_pow(x, y), std::pow(a, b)), 1) << "pow " << x << " " << y;
      EXPECT_LE(ulps(m_hypot(x, y), std::hypot(a, b)), 1) << "hypot " << x << " " << y;
      EXPECT_LE(ulps(m_atan2(x, y), std::atan2(a, b)), 3) << "atan2 " << x << " " << y;
      if (std::atan2(a, b) == 0) {
        EXPECT_EQ(std::signbit(m_atan2(x, y)), std::signbit(x)) << x << y;
      }
    }
}

}  // namespace
}  // namespace trn
