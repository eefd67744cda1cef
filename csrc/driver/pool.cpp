// One pool for all queues of the process. A kernel that finds it taken runs alone.
//
// Work is cut into chunks of at least `grain` items and at most a quarter of a thread's share, so
// that a slow thread holds the others up by a quarter of its share at most; chunks are handed out
// by a counter. Kernels promise that their results do not depend on where chunks begin.
#include "driver/pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/spin.h"
#include "driver/driver.h"

namespace trn::driver {
namespace {

// Scratch of a thread: reserved at first use, touched only as far as a kernel writes.
char* thread_scratch() {
  struct Scratch {
    char* memory = static_cast<char*>(std::aligned_alloc(64, kScratchBytes));
    ~Scratch() { std::free(memory); }
  };
  static thread_local Scratch scratch;
  return scratch.memory;
}

struct Job {
  const Call* call;
  Fault* fault;
  int64_t chunk;
  std::atomic<int64_t> next{0};
};

void work_on(Job& job) {
  Range range{0, 0, thread_scratch(), job.fault};
  const int64_t work = job.call->work;
  for (;;) {
    range.begin = job.next.fetch_add(job.chunk, std::memory_order_relaxed);
    if (range.begin >= work) return;
    range.end = std::min(work, range.begin + job.chunk);
    job.call->kernel->run(*job.call, range);
  }
}

class Pool {
 public:
  int threads() const { return threads_.load(std::memory_order_relaxed); }

  // The next run starts or leaves idle helpers as needed.
  void set_threads(int n) {
    std::lock_guard taken(taken_);
    threads_.store(std::clamp(n, 1, 256), std::memory_order_relaxed);
  }

  void run(const Call& call, Fault* fault) {
    Job job{&call, fault, call.work};
    const int n = threads();
    if (n == 1 || call.work <= call.grain) return work_on(job);
    const int64_t share = call.work / (4 * n);  // rounded down: few items go one by one
    job.chunk = std::max<int64_t>({1, call.grain, share});
    std::unique_lock taken(taken_, std::try_to_lock);
    if (!taken.owns_lock()) return work_on(job);
    const int64_t chunks = (call.work + job.chunk - 1) / job.chunk;
    const int helpers = static_cast<int>(std::min<int64_t>(n, chunks)) - 1;
    start(helpers);
    publish(&job, helpers);
    work_on(job);
    // Helpers that never woke are told to stay away; those at work are waited for.
    job_.store(nullptr, std::memory_order_seq_cst);
    while (inside_.load(std::memory_order_seq_cst)) spin_pause();
  }

 private:
  void start(int helpers) {
    while (static_cast<int>(helpers_.size()) < helpers) {
      const int index = static_cast<int>(helpers_.size());
      helpers_.emplace_back([this, index] { loop(index); });
      helpers_.back().detach();
    }
  }

  void publish(Job* job, int helpers) {
    wanted_.store(helpers, std::memory_order_relaxed);
    job_.store(job, std::memory_order_seq_cst);
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard lock(mutex_);
      wake_.notify_all();
    }
  }

  void loop(int index) {
    uint64_t seen = 0;
    for (;;) {
      wait_for_work(seen);
      seen = epoch_.load(std::memory_order_seq_cst);
      inside_.fetch_add(1, std::memory_order_seq_cst);
      Job* job = job_.load(std::memory_order_seq_cst);
      if (job && index < wanted_.load(std::memory_order_relaxed)) work_on(*job);
      inside_.fetch_sub(1, std::memory_order_seq_cst);
    }
  }

  // Spins for a moment, since kernels come in bursts, and then sleeps.
  void wait_for_work(uint64_t seen) {
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + std::chrono::microseconds(30);
    do {
      for (int i = 0; i < 64; ++i) {
        if (epoch_.load(std::memory_order_relaxed) != seen) return;
        spin_pause();
      }
      std::this_thread::yield();
    } while (Clock::now() < until);
    std::unique_lock lock(mutex_);
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return epoch_.load(std::memory_order_seq_cst) != seen; });
    sleeping_.fetch_sub(1, std::memory_order_seq_cst);
  }

  std::mutex taken_;  // held by the queue whose kernel has the pool
  std::vector<std::thread> helpers_;
  std::atomic<int> threads_{default_threads()};
  std::atomic<Job*> job_{nullptr};
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int> wanted_{0}, inside_{0}, sleeping_{0};
  std::mutex mutex_;
  std::condition_variable wake_;

  // OMP_NUM_THREADS means here what it means to PyTorch's CPU.
  static int default_threads() {
    if (const char* text = std::getenv("OMP_NUM_THREADS"))
      if (const int n = std::atoi(text); n > 0) return n;
    return std::max(1u, std::thread::hardware_concurrency());
  }
};

Pool& pool() {
  static auto* p = new Pool;  // its threads outlive static destruction
  return *p;
}

// Copies and fills as kernels of bytes, so that they share the pool's one way of splitting.
void copy_bytes(const Call& c, const Range& r) {
  std::memcpy(c.operand[0].as<char>() + r.begin, c.operand[1].as<char>() + r.begin,
              r.end - r.begin);
}
void fill_bytes(const Call& c, const Range& r) {
  std::memset(c.operand[0].as<char>() + r.begin, static_cast<int>(c.ints[0]), r.end - r.begin);
}
constexpr Kernel kCopy{"copy_bytes", DType::u8, Isa::portable, copy_bytes};
constexpr Kernel kFill{"fill_bytes", DType::u8, Isa::portable, fill_bytes};
constexpr int64_t kBytesPerThread = 256 << 10;  // below this one thread moves it from its cache

void run_bytes(const Kernel& kernel, void* dst, const void* src, int value, int64_t bytes) {
  Call call;
  call.kernel = &kernel;
  call.work = bytes;
  call.grain = kBytesPerThread;
  call.operand[0].data = dst;
  call.operand[1].data = const_cast<void*>(src);
  call.ints[0] = value;
  pool().run(call, nullptr);
}

}  // namespace

void run_kernel(const Call& call, Fault* fault) { pool().run(call, fault); }
void run_copy(void* dst, const void* src, int64_t bytes) { run_bytes(kCopy, dst, src, 0, bytes); }
void run_fill(void* dst, int value, int64_t bytes) { run_bytes(kFill, dst, nullptr, value, bytes); }

void set_compute_threads(int threads) { pool().set_threads(threads); }
int compute_threads() { return pool().threads(); }

}  // namespace trn::driver
