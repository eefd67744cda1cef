// Isolation: what the host may not touch, the driver can.
#include "driver/memory.h"

#include <gtest/gtest.h>

namespace trn::driver {
namespace {

TEST(Memory, AliasIsTheAddressItselfWithoutIsolation) {
  Memory memory(64 << 20, /*isolate=*/false, "test");
  auto* p = static_cast<char*>(memory.allocate(4096).value());
  EXPECT_EQ(memory.alias(p), p);
  *p = 1;
}

TEST(Memory, HostAccessDiesUnderIsolation) {
  Memory memory(64 << 20, /*isolate=*/true, "test");
  auto* p = static_cast<volatile char*>(memory.allocate(4096).value());
  char* mine = memory.alias(const_cast<char*>(p));
  ASSERT_NE(mine, p);
  *mine = 7;  // the driver's own mapping works
  EXPECT_EQ(*mine, 7);
  EXPECT_DEATH({ [[maybe_unused]] char c = *p; }, "");
}

TEST(Memory, PointersFromElsewhereAreLeftAlone) {
  Memory memory(64 << 20, /*isolate=*/true, "test");
  int local = 0;
  EXPECT_EQ(memory.alias(&local), &local);
}

}  // namespace
}  // namespace trn::driver
