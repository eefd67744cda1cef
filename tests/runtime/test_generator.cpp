// Philox generators: the state is CUDA's, and no two launches share numbers.
#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "runtime/generator.h"

namespace trn::runtime {
namespace {

TEST(Generator, TheStateIsASeedAndAnOffset) {
  at::Generator g = new_generator(0);
  g.set_current_seed(123);
  EXPECT_EQ(reserve(g, 0, 5), (std::pair<uint64_t, uint64_t>{123, 0}));
  EXPECT_EQ(reserve(g, 0, 1), (std::pair<uint64_t, uint64_t>{123, 8}));
  const at::Tensor state = g.get_state();
  ASSERT_EQ(state.numel(), 16);
  EXPECT_EQ(state.const_data_ptr<uint8_t>()[0], 123);
  EXPECT_EQ(state.const_data_ptr<uint8_t>()[8], 12);
  at::Generator other = new_generator(0);
  other.set_state(state);
  EXPECT_EQ(reserve(other, 0, 1), reserve(g, 0, 1));
}

TEST(Generator, SeedingStartsOver) {
  at::Generator g = new_generator(1);
  g.set_current_seed(7);
  const auto first = reserve(g, 1, 1);
  reserve(g, 1, 100);
  g.set_current_seed(7);
  EXPECT_EQ(reserve(g, 1, 1), first);
  EXPECT_EQ(g.device().index(), 1);
}

TEST(Generator, WrongStatesAndDevicesAreRefused) {
  at::Generator g = new_generator(0);
  EXPECT_THROW(g.set_state(at::zeros({5}, at::kByte)), c10::Error);
  EXPECT_THROW(g.set_offset(3), c10::Error);
  EXPECT_THROW(default_generator(99), c10::Error);
}

TEST(Generator, AClonesNumbersAreItsOwn) {
  at::Generator g = new_generator(0);
  g.set_current_seed(5);
  at::Generator copy = g.clone();
  reserve(g, 0, 40);
  EXPECT_EQ(reserve(copy, 0, 1).second, 0u);
}

}  // namespace
}  // namespace trn::runtime
