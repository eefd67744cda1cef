// The float functions against double, over a dense sweep and the special values.
#include <gtest/gtest.h>

#include <cmath>

#include "math.h"
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

}  // namespace
}  // namespace trn
