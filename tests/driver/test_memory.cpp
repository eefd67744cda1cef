// Isolation: what the host may not touch, the driver can.
#include <gtest/gtest.h>
#include <unistd.h>

#include "driver/memory.h"

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

TEST(Memory, SharedMemoryIsIsolatedToo) {
  Memory memory(64 << 20, /*isolate=*/true, "test"), other(64 << 20, /*isolate=*/true, "other");
  const SharedMemory shared = memory.allocate_shared(4096).value();
  auto* p = static_cast<volatile char*>(shared.ptr);
  *memory.alias(const_cast<char*>(p)) = 7;
  auto* q = static_cast<char*>(other.open_shared(shared.fd, 4096).value());
  EXPECT_EQ(*other.alias(q), 7);
  EXPECT_DEATH({ [[maybe_unused]] char c = *p; }, "");
  EXPECT_TRUE(memory.release(shared.ptr).ok());
  EXPECT_EQ(*other.alias(q), 7);
  EXPECT_TRUE(other.release(q).ok());
  close(shared.fd);
  // The pages that were there before shared memory came are there again.
  auto* again = static_cast<char*>(memory.allocate(64 << 20).value());
  *memory.alias(again) = 1;
  EXPECT_DEATH({ [[maybe_unused]] char c = *static_cast<volatile char*>(again); }, "");
}

TEST(Memory, PointersFromElsewhereAreLeftAlone) {
  Memory memory(64 << 20, /*isolate=*/true, "test");
  int local = 0;
  EXPECT_EQ(memory.alias(&local), &local);
}

}  // namespace
}  // namespace trn::driver
