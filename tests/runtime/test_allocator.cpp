// The caching allocator: reuse, splitting, statistics, streams, pressure.
#include <c10/core/CachingDeviceAllocator.h>
#include <gtest/gtest.h>

#include <thread>

#include "runtime/allocator.h"
#include "runtime/stream.h"

namespace trn::runtime {
namespace {

using Stats = c10::CachingDeviceAllocator::DeviceStats;

Stats stats() { return allocator()->getDeviceStats(0); }
int64_t allocated() { return stats().allocated_bytes[0].current; }
int64_t reserved() { return stats().reserved_bytes[0].current; }
uint64_t driver_allocations() { return device(0).counters().allocations; }

class Allocator : public testing::Test {
 protected:
  void SetUp() override {
    device(0);
    allocator()->emptyCache({0, 0});
    ASSERT_EQ(allocated(), 0);
    ASSERT_EQ(reserved(), 0);
    allocator()->resetPeakStats(0);
  }
  void TearDown() override { driver::inject_fault("allocate", 0); }
};

TEST_F(Allocator, ALoopOfTheSameTemporariesAsksTheDriverOnce) {
  const uint64_t before = driver_allocations();
  for (int i = 0; i < 1000; ++i) {
    const auto a = allocator()->allocate(3 << 20), b = allocator()->allocate(5000);
    ASSERT_TRUE(a.get() && b.get());
  }
  EXPECT_EQ(driver_allocations() - before, 2u);  // one large segment, one small
}

TEST_F(Allocator, SmallBlocksShareASegmentAndMergeAgain) {
  {
    const auto a = allocator()->allocate(1000), b = allocator()->allocate(1000),
               c = allocator()->allocate(1000);
    EXPECT_EQ(reserved(), 2 << 20);
    EXPECT_EQ(static_cast<char*>(b.get()) - static_cast<char*>(a.get()), 1024);
    EXPECT_EQ(allocated(), 3 * 1024);
    EXPECT_EQ(stats().inactive_split[0].current, 1);
  }
  EXPECT_EQ(allocated(), 0);
  EXPECT_EQ(stats().inactive_split[0].current, 0);
  EXPECT_EQ(stats().inactive_split_bytes[0].current, 0);
  EXPECT_EQ(stats().active[0].current, 0);
  // Merged into one, it can be given back whole.
  allocator()->emptyCache({0, 0});
  EXPECT_EQ(reserved(), 0);
}

TEST_F(Allocator, TheMiddleOfThreeFreedLastMergesBothSides) {
  auto a = allocator()->allocate(1000), b = allocator()->allocate(1000),
       c = allocator()->allocate(1000);
  a.clear();
  c.clear();
  EXPECT_EQ(stats().inactive_split[0].current, 2);
  b.clear();
  EXPECT_EQ(stats().inactive_split[0].current, 0);
}

TEST_F(Allocator, PeaksStayAndReset) {
  { const auto a = allocator()->allocate(4 << 20); }
  EXPECT_EQ(stats().allocated_bytes[0].peak, 4 << 20);
  EXPECT_LE(stats().allocated_bytes[0].peak, stats().reserved_bytes[0].peak);
  allocator()->resetPeakStats(0);
  EXPECT_EQ(stats().allocated_bytes[0].peak, 0);
  allocator()->resetAccumulatedStats(0);
  EXPECT_EQ(stats().allocation[0].allocated, 0);
}

TEST_F(Allocator, NothingIsNoMemory) {
  const auto none = allocator()->allocate(0);
  EXPECT_EQ(none.get(), nullptr);
  EXPECT_EQ(reserved(), 0);
}

TEST_F(Allocator, ABlockUsedOnAnotherStreamWaitsForIt) {
  const c10::Stream other = stream_from_pool(0, 0);
  auto a = allocator()->allocate(1000);
  void* address = a.get();
  allocator()->recordStream(a, other);
  // The other stream is held by a stamp of ours until the main stream gets there.
  driver::Packet wait{};
  wait.kind = driver::PacketKind::wait;
  wait.other = queue_of(default_stream(0));
  wait.value = device(0).submitted(wait.other) + 1;
  submit(other, wait);
  a.clear();
  EXPECT_EQ(stats().active[0].current, 1);  // freed by its owner, held for the other stream
  {
    const auto b = allocator()->allocate(1000);
    EXPECT_NE(b.get(), address);
  }
  driver::Packet step{};
  step.kind = driver::PacketKind::fill;
  const auto target = allocator()->allocate(512);
  step.dst = target.get();
  step.bytes = 1;
  submit(default_stream(0), step);
  synchronize(other);
  { const auto c = allocator()->allocate(512); }  // looks at the events
  EXPECT_EQ(stats().active[0].current, 1);        // only `target`
}

TEST_F(Allocator, MemoryRunsOutWithCudasWords) {
  const auto info = allocator()->getMemoryInfo(0);
  try {
    allocator()->allocate(info.second + (1 << 20));
    FAIL();
  } catch (const c10::OutOfMemoryError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("TRN out of memory. Tried to allocate"), std::string::npos);
    EXPECT_NE(text.find("has a total capacity of"), std::string::npos);
    EXPECT_NE(text.find("reserved by PyTorch but unallocated"), std::string::npos);
  }
  EXPECT_GE(stats().num_ooms, 1);
  const auto after = allocator()->allocate(1000);  // nothing is wedged
  EXPECT_NE(after.get(), nullptr);
}

TEST_F(Allocator, TheCacheIsFreedBeforeGivingUp) {
  set_memory_fraction(0.01, 0);
  const auto limit =
      static_cast<size_t>(0.01 * static_cast<double>(allocator()->getMemoryInfo(0).second));
  const int64_t retries = stats().num_alloc_retries;
  { const auto a = allocator()->allocate(limit * 6 / 10); }
  // Another size does not fit beside the cached block: the block has to go.
  const auto b = allocator()->allocate(limit * 8 / 10);
  EXPECT_NE(b.get(), nullptr);
  EXPECT_EQ(stats().num_alloc_retries, retries + 1);
  EXPECT_THROW(allocator()->allocate(limit), c10::OutOfMemoryError);
  set_memory_fraction(1.0, 0);
}

TEST_F(Allocator, TheNthFailureOfTheDriverLosesNothing) {
  for (int64_t n = 1; n <= 3; ++n) {
    driver::inject_fault("allocate", n);
    {
      std::vector<c10::DataPtr> kept;
      for (int i = 0; i < 4; ++i) kept.push_back(allocator()->allocate(30 << 20));
      EXPECT_EQ(allocated(), 4 * (30ll << 20));
    }
    EXPECT_EQ(allocated(), 0);
    allocator()->emptyCache({0, 0});
    EXPECT_EQ(reserved(), 0);
    EXPECT_EQ(device(0).memory().free, device(0).memory().total);
  }
}

TEST_F(Allocator, ThreadsAllocateTogether) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 2000; ++i) {
        const auto a = allocator()->allocate(512 * (1 + (i * 7 + t) % 50));
        const auto b = allocator()->allocate(2 << 20);
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(allocated(), 0);
  EXPECT_EQ(stats().allocation[0].current, 0);
}

TEST_F(Allocator, TheSnapshotAddsUp) {
  record_memory_history(true, nullptr, 1000);
  const auto a = allocator()->allocate(1000), b = allocator()->allocate(3 << 20);
  const Snapshot s = memory_snapshot();
  size_t total = 0, used = 0;
  for (const auto& segment : s.segments) {
    size_t blocks = 0;
    for (const auto& block : segment.blocks) blocks += block.size;
    EXPECT_EQ(blocks, segment.total_size);
    total += segment.total_size;
    used += segment.allocated_size;
  }
  EXPECT_EQ(total, static_cast<size_t>(reserved()));
  EXPECT_EQ(used, static_cast<size_t>(allocated()));
  EXPECT_GE(s.traces.at(0).size(), 4u);  // two allocations, two segments
  record_memory_history(false, nullptr, 0);
}

}  // namespace
}  // namespace trn::runtime
