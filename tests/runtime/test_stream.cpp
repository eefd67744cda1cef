// Streams, events, errors that arrive late.
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <gtest/gtest.h>

#include "base/site.h"
#include "runtime/allocator.h"
#include "runtime/stream.h"

namespace trn::runtime {
namespace {

void slow(const Call& call, const Range&) {
  volatile int64_t x = 0;
  for (int64_t i = 0; i < call.ints[0]; ++i) x = x + i;
}
void bad_index(const Call&, const Range& range) {
  range.fault->report(FaultKind::index_out_of_range, 9, 3);
}
TRN_REGISTER("test_slow", DType::i64, slow);
TRN_REGISTER("test_bad_index", DType::i64, bad_index);

driver::Packet kernel(const char* name, int64_t n = 0, int32_t site = 0) {
  driver::Packet p{};
  p.kind = driver::PacketKind::kernel;
  p.call.kernel = find_kernel(name, DType::i64);
  p.call.work = p.call.grain = 1;
  p.call.nints = 1;
  p.call.ints[0] = n;
  p.call.site = site;
  return p;
}

TEST(Stream, EachDeviceHasItsDefaultStream) {
  EXPECT_EQ(default_stream(0).id(), 0);
  EXPECT_NE(default_stream(0), default_stream(1));
  EXPECT_EQ(current_stream(0), default_stream(0));
}

TEST(Stream, PoolStreamsKeepTheirPriority) {
  for (int priority : {0, -1, -3}) {
    const c10::Stream s = stream_from_pool(1, priority);
    EXPECT_EQ(stream_priority(s), priority);
    EXPECT_EQ(s.device_index(), 1);
  }
  EXPECT_EQ(stream_priority(stream_from_pool(0, -100)), kHighestPriority);
  EXPECT_EQ(stream_priority(stream_from_pool(0, 5)), 0);
}

TEST(Stream, AGuardPutsTheFormerOneBack) {
  const c10::Stream s = stream_from_pool(0, 0);
  {
    const c10::StreamGuard guard(s);
    EXPECT_EQ(current_stream(0), s);
  }
  EXPECT_EQ(current_stream(0), default_stream(0));
}

TEST(Stream, QueryAndSynchronise) {
  const c10::Stream s = stream_from_pool(0, 0);
  submit(s, kernel("test_slow", 30'000'000));
  EXPECT_FALSE(query(s));
  synchronize(s);
  EXPECT_TRUE(query(s));
}

TEST(Stream, EventsOrderStreamsAcrossDevices) {
  const c10::Stream a = stream_from_pool(0, 0), b = stream_from_pool(1, 0);
  submit(a, kernel("test_slow", 10'000'000));
  c10::Event event(c10::kPrivateUse1);
  event.record(a);
  event.block(b);
  submit(b, kernel("test_slow", 1));
  synchronize(b);
  EXPECT_TRUE(event.query());
  EXPECT_TRUE(query(a));
}

TEST(Stream, TimeIsMeasuredBetweenEvents) {
  const c10::Stream s = stream_from_pool(0, 0);
  Event begin, end, untimed;
  record(begin, s, true);
  submit(s, kernel("test_slow", 3'000'000));
  record(end, s, true);
  record(untimed, s, false);
  synchronize(end);
  synchronize(untimed);
  EXPECT_GT(elapsed_ms(begin, end), 0);
  EXPECT_THROW(elapsed_ms(begin, untimed), c10::Error);
  EXPECT_THROW(elapsed_ms(begin, Event()), c10::Error);
}

TEST(Stream, AFaultIsThrownOnceAtTheNextSynchronisation) {
  set_site_hooks(nullptr, [](int32_t site) { return "train.py:" + std::to_string(site); });
  const c10::Stream s = stream_from_pool(0, 0);
  submit(s, kernel("test_bad_index", 0, 42));
  submit(s, kernel("test_slow", 1));
  try {
    synchronize(s);
    FAIL();
  } catch (const c10::AcceleratorError& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("device-side assert triggered"), std::string::npos);
    EXPECT_NE(text.find("index 9 is out of bounds for size 3"), std::string::npos);
    EXPECT_NE(text.find("train.py:42"), std::string::npos);
  }
  synchronize(s);
  set_site_hooks(nullptr, nullptr);
}

TEST(Device, WhatDoesNotExistIsRefused) {
  EXPECT_THROW(set_device(99), c10::Error);
  EXPECT_THROW(device(99), c10::Error);
  EXPECT_EQ(current_device(), 0);
  EXPECT_EQ(device_of_pointer(nullptr), -1);
}

}  // namespace
}  // namespace trn::runtime
