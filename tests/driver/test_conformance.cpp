// What every driver must do, run over each. A case that a driver cannot show is listed with why.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>

#include "driver/driver.h"

namespace trn::driver {
namespace {

// Adds ints[0] to every element: operand 0 out, operand 1 in, both dense i32.
void add_number(const Call& call, const Range& range) {
  for (int64_t i = range.begin; i < range.end; ++i)
    call.operand[0].as<int32_t>()[i] =
        call.operand[1].as<int32_t>()[i] + static_cast<int32_t>(call.ints[0]);
}
void always_faults(const Call&, const Range& range) {
  range.fault->report(FaultKind::index_out_of_range, 7, 5);
}
TRN_REGISTER("test_add_number", DType::i32, add_number);
TRN_REGISTER("test_faults", DType::i32, always_faults);

Operand vector_of(void* data, int64_t n) {
  Operand o{};
  o.data = data;
  o.dtype = DType::i32;
  o.ndim = 1;
  o.sizes[0] = n;
  o.strides[0] = 1;
  return o;
}

class Conformance : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto opened = open_driver(GetParam());
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    devices = std::move(opened.value());
    ASSERT_GE(devices.size(), 2u);
    device = devices[0].get();
    queue = device->create_queue(0);
  }
  void TearDown() override {
    if (device) device->destroy_queue(queue);
  }
  // The null driver computes nothing: what only results can show is not asked of it.
  bool computes() const { return GetParam() != "null"; }

  void* allocate(int64_t bytes) {
    auto r = device->allocate(bytes);
    EXPECT_TRUE(r.ok()) << r.status().message();
    return r.ok() ? r.value() : nullptr;
  }
  Packet copy(void* dst, const void* src, int64_t bytes, Direction direction) {
    Packet p{};
    p.kind = PacketKind::copy;
    p.direction = direction;
    p.dst = dst;
    p.src = src;
    p.bytes = bytes;
    return p;
  }
  Packet kernel(const char* name, void* out, void* in, int64_t n, int64_t number = 1,
                int64_t grain = 1 << 30) {
    Packet p{};
    p.kind = PacketKind::kernel;
    p.call.kernel = find_kernel(name, DType::i32);
    p.call.work = n;
    p.call.grain = grain;
    p.call.noperands = 2;
    p.call.noutputs = 1;
    p.call.nints = 1;
    p.call.ints[0] = number;
    p.call.operand[0] = vector_of(out, n);
    p.call.operand[1] = vector_of(in, n);
    return p;
  }
  void finish() { device->wait(queue, device->submitted(queue)); }
  std::vector<int32_t> read(void* p, int64_t n) {
    std::vector<int32_t> host(n);
    device->submit(queue, copy(host.data(), p, n * 4, Direction::device_to_host));
    finish();
    return host;
  }
  void write(void* p, const std::vector<int32_t>& host) {
    device->submit(queue, copy(p, host.data(), host.size() * 4, Direction::host_to_device));
    finish();
  }

  std::vector<std::unique_ptr<Device>> devices;
  Device* device = nullptr;
  Queue* queue = nullptr;
};

TEST_P(Conformance, MemoryIsAlignedAndOwned) {
  for (int64_t bytes : {1, 511, 512, 513, 5 << 20}) {
    void* p = allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 512, 0u);
    EXPECT_TRUE(device->owns(p));
    EXPECT_FALSE(devices[1]->owns(p));
    EXPECT_TRUE(device->release(p).ok());
  }
  int local = 0;
  EXPECT_FALSE(device->owns(&local));
}

TEST_P(Conformance, MemoryRunsOutAndComesBack) {
  const MemoryInfo before = device->memory();
  const auto too_much = device->allocate(before.total + 1);
  EXPECT_EQ(too_much.status().code(), Code::out_of_memory);
  void* all = allocate(before.free);
  EXPECT_EQ(device->memory().free, 0);
  EXPECT_EQ(device->allocate(512).status().code(), Code::out_of_memory);
  EXPECT_TRUE(device->release(all).ok());
  EXPECT_EQ(device->memory().free, before.free);
}

TEST_P(Conformance, ReleasedNeighboursBecomeOne) {
  void *a = allocate(1 << 20), *b = allocate(1 << 20), *c = allocate(1 << 20);
  const int64_t free = device->memory().free;
  EXPECT_TRUE(device->release(a).ok());
  EXPECT_TRUE(device->release(c).ok());
  EXPECT_TRUE(device->release(b).ok());
  EXPECT_EQ(device->memory().free, free + (3 << 20));
  void* whole = allocate(device->memory().free);
  EXPECT_TRUE(device->release(whole).ok());
}

TEST_P(Conformance, SharedMemoryIsTheSameInTwoPlaces) {
  const int64_t n = 3000, free = device->memory().free;
  auto made = device->allocate_shared(n * 4);
  if (made.status().code() == Code::unavailable)
    GTEST_SKIP() << GetParam() << ": " << made.status().message();
  ASSERT_TRUE(made.ok()) << made.status().message();
  const auto [mine, fd] = made.value();
  EXPECT_TRUE(device->owns(mine));
  void* theirs = device->open_shared(fd, n * 4).value();
  ASSERT_NE(mine, theirs);
  std::vector<int32_t> host(n);
  std::iota(host.begin(), host.end(), 0);
  write(mine, host);
  EXPECT_EQ(read(theirs, n), host);
  EXPECT_TRUE(device->release(mine).ok());
  EXPECT_EQ(read(theirs, n), host);  // the bytes stay while somebody holds them
  EXPECT_EQ(device->open_shared(fd, n * 8).status().code(), Code::invalid_argument);
  EXPECT_TRUE(device->release(theirs).ok());
  EXPECT_EQ(device->memory().free, free);
  void* whole = allocate(free);  // the addresses are ordinary memory again
  write(whole, host);
  EXPECT_EQ(read(whole, n), host);
  EXPECT_TRUE(device->release(whole).ok());
  close(fd);
  EXPECT_EQ(device->open_shared(fd, n * 4).status().code(), Code::invalid_argument);
}

TEST_P(Conformance, WrongReleaseIsRefused) {
  void* p = allocate(512);
  EXPECT_TRUE(device->release(p).ok());
  EXPECT_EQ(device->release(p).code(), Code::invalid_argument);
  EXPECT_EQ(device->release(nullptr).code(), Code::invalid_argument);
  EXPECT_EQ(device->allocate(0).status().code(), Code::invalid_argument);
}

TEST_P(Conformance, CopiesGoBothWays) {
  if (!computes()) GTEST_SKIP() << "the null driver moves nothing";
  for (int64_t n : {1, 3, 1000, 300000}) {
    std::vector<int32_t> host(n);
    std::iota(host.begin(), host.end(), 5);
    void *p = allocate(n * 4), *q = allocate(n * 4);
    write(p, host);
    device->submit(queue, copy(q, p, n * 4, Direction::device_to_device));
    EXPECT_EQ(read(q, n), host);
    EXPECT_TRUE(device->release(p).ok());
    EXPECT_TRUE(device->release(q).ok());
  }
}

TEST_P(Conformance, UploadsAndFillsCarryTheirData) {
  if (!computes()) GTEST_SKIP() << "the null driver moves nothing";
  void* p = allocate(64);
  Packet fill{};
  fill.kind = PacketKind::fill;
  fill.dst = p;
  fill.bytes = 64;
  fill.value = 1;
  device->submit(queue, fill);
  EXPECT_EQ(read(p, 16), std::vector<int32_t>(16, 0x01010101));
  Packet upload{};
  upload.kind = PacketKind::upload;
  upload.dst = p;
  upload.bytes = 8;
  const int32_t values[2] = {41, 42};
  std::memcpy(static_cast<void*>(&upload.call), values, sizeof values);
  device->submit(queue, upload);
  EXPECT_EQ(read(p, 2), (std::vector<int32_t>{41, 42}));
}

TEST_P(Conformance, AQueueKeepsItsOrderBeyondItsRing) {
  if (!computes()) GTEST_SKIP() << "the null driver computes nothing";
  void* p = allocate(4);
  write(p, {0});
  constexpr int kMany = 10000;  // several times the ring
  uint64_t last = 0;
  for (int i = 0; i < kMany; ++i) {
    const uint64_t value = device->submit(queue, kernel("test_add_number", p, p, 1));
    EXPECT_GT(value, last);
    last = value;
  }
  EXPECT_EQ(read(p, 1)[0], kMany);
  EXPECT_TRUE(device->reached(queue, last));
}

// Pauses around the time after which who waits for a packet, or for its end, goes to sleep.
TEST_P(Conformance, NobodySleepsThroughAPacketOrItsEnd) {
  void* p = allocate(4);
  if (computes()) write(p, {0});
  constexpr int kRounds = 2000;
  for (int i = 0; i < kRounds; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(i % 200));
    device->wait(queue, device->submit(queue, kernel("test_add_number", p, p, 1)));
  }
  if (computes()) { EXPECT_EQ(read(p, 1)[0], kRounds); }
}

TEST_P(Conformance, AWaitHoldsAQueueForAnother) {
  Queue* other = device->create_queue(-1);
  void* p = allocate(4);
  if (computes()) write(p, {0});
  for (int i = 0; i < 500; ++i) device->submit(queue, kernel("test_add_number", p, p, 1));
  Packet wait{};
  wait.kind = PacketKind::wait;
  wait.other = queue;
  wait.value = device->submitted(queue);
  device->submit(other, wait);
  const uint64_t done = device->submit(other, kernel("test_add_number", p, p, 1, 1000));
  device->wait(other, done);
  EXPECT_TRUE(device->reached(queue, wait.value));
  if (computes()) { EXPECT_EQ(read(p, 1)[0], 1500); }
  device->destroy_queue(other);
}

TEST_P(Conformance, StampsAreOrdered) {
  Stamp *a = new Stamp, *b = new Stamp;
  for (Stamp* s : {a, b}) {
    Packet p{};
    p.kind = PacketKind::stamp;
    p.stamp = s;
    device->submit(queue, p);
  }
  finish();
  EXPECT_GT(a->ns.load(), 0);
  EXPECT_GE(b->ns.load(), a->ns.load());
  a->release();
  b->release();
}

TEST_P(Conformance, AFaultIsStoredOnceAndTheQueueGoesOn) {
  if (!computes()) GTEST_SKIP() << "the null driver computes nothing";
  void* p = allocate(4);
  write(p, {1});
  Packet bad = kernel("test_faults", p, p, 1);
  bad.call.site = 17;
  device->submit(queue, bad);
  device->submit(queue, bad);
  device->submit(queue, kernel("test_add_number", p, p, 1));
  EXPECT_EQ(read(p, 1)[0], 2);
  int32_t site = 0;
  const Status fault = device->take_fault(queue, &site);
  EXPECT_EQ(fault.code(), Code::device_assert);
  EXPECT_NE(fault.message().find("index 7 is out of bounds for size 5"), std::string::npos);
  EXPECT_NE(fault.message().find("test_faults_i32"), std::string::npos);
  EXPECT_EQ(site, 17);
  EXPECT_TRUE(device->take_fault(queue, &site).ok());
}

TEST_P(Conformance, ManyThreadsSubmitToOneQueue) {
  void* p = allocate(4);
  if (computes()) write(p, {0});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) device->submit(queue, kernel("test_add_number", p, p, 1));
    });
  for (auto& t : threads) t.join();
  finish();
  EXPECT_TRUE(device->reached(queue, device->submitted(queue)));
  if (computes()) { EXPECT_EQ(read(p, 1)[0], 4000); }
}

TEST_P(Conformance, AKernelTouchesEachItemOnceWhateverTheThreads) {
  if (!computes()) GTEST_SKIP() << "the null driver computes nothing";
  const int before = compute_threads();
  for (int threads : {1, 2, 4})
    for (int64_t n : {1, 2, 37, 1000, 100003})
      for (int64_t grain : {1, 16, 4096}) {
        set_compute_threads(threads);
        void* p = allocate(n * 4);
        write(p, std::vector<int32_t>(n, 3));
        device->submit(queue, kernel("test_add_number", p, p, n, 2, grain));
        EXPECT_EQ(read(p, n), std::vector<int32_t>(n, 5)) << threads << " " << n << " " << grain;
        EXPECT_TRUE(device->release(p).ok());
      }
  set_compute_threads(before);
}

TEST_P(Conformance, QueuesShareThePool) {
  if (!computes()) GTEST_SKIP() << "the null driver computes nothing";
  constexpr int64_t kN = 50000;
  std::vector<Queue*> queues;
  std::vector<void*> memory;
  for (int i = 0; i < 4; ++i) {
    queues.push_back(device->create_queue(0));
    memory.push_back(allocate(kN * 4));
    write(memory[i], std::vector<int32_t>(kN, i));
  }
  for (int round = 0; round < 50; ++round)
    for (int i = 0; i < 4; ++i)
      device->submit(queues[i], kernel("test_add_number", memory[i], memory[i], kN, 1, 64));
  for (int i = 0; i < 4; ++i) {
    device->wait(queues[i], device->submitted(queues[i]));
    EXPECT_EQ(read(memory[i], kN), std::vector<int32_t>(kN, i + 50));
    device->destroy_queue(queues[i]);
  }
}

TEST_P(Conformance, DestroyingAQueueFinishesItsWork) {
  Queue* other = device->create_queue(0);
  void* p = allocate(4);
  if (computes()) write(p, {0});
  for (int i = 0; i < 1000; ++i) device->submit(other, kernel("test_add_number", p, p, 1));
  device->destroy_queue(other);
  if (computes()) { EXPECT_EQ(read(p, 1)[0], 1000); }
}

TEST_P(Conformance, TheNthCallCanBeMadeToFail) {
  for (int64_t n = 1; n <= 5; ++n) {
    inject_fault("allocate", n);
    std::vector<void*> taken;
    for (int64_t i = 1; i <= 5; ++i) {
      auto r = device->allocate(512);
      EXPECT_EQ(r.ok(), i != n);
      if (r.ok()) taken.push_back(r.value());
    }
    for (void* p : taken) EXPECT_TRUE(device->release(p).ok());
    inject_fault("submit", n);
    void* p = allocate(4);
    for (int64_t i = 1; i <= 5; ++i) device->submit(queue, kernel("test_add_number", p, p, 1));
    finish();
    EXPECT_EQ(device->take_fault(queue, nullptr).code(), Code::device_assert);
    EXPECT_TRUE(device->release(p).ok());
  }
}

TEST_P(Conformance, AQueueMayWaitForWhatIsNotSubmittedYet) {
  Queue* other = device->create_queue(0);
  Packet wait{};
  wait.kind = PacketKind::wait;
  wait.other = other;
  wait.value = device->submitted(other) + 1;
  device->submit(queue, wait);
  Packet stamp{};
  stamp.kind = PacketKind::stamp;
  stamp.stamp = new Stamp;
  device->submit(other, stamp);
  finish();
  EXPECT_GT(stamp.stamp->ns.load(), 0);
  stamp.stamp->release();
  device->destroy_queue(other);
}

// The drivers of this library, or the one that TRN_CONFORMANCE names by its path.
std::vector<std::string> drivers_to_test() {
  const char* given = std::getenv("TRN_CONFORMANCE");
  return given ? std::vector<std::string>{given} : std::vector<std::string>{"host", "null"};
}
std::string readable(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param.substr(info.param.rfind('/') + 1);
  name.resize(std::min(name.find('.'), name.size()));
  return name;
}
INSTANTIATE_TEST_SUITE_P(Drivers, Conformance, testing::ValuesIn(drivers_to_test()), readable);

}  // namespace
}  // namespace trn::driver
