// One pool for all queues of the process. A kernel that finds it taken runs alone.
//
// Each thread has a share of the work, the same part at every call: what a kernel leaves in a
// core's caches is there for the next, and is not fetched from core to core. A share is taken in
// chunks of at least `grain` items and at most a quarter of it, and who is done with its own goes
// on with the next one's, so that a slow thread holds the others up by a chunk at most. Kernels
// promise that their results do not depend on where chunks begin.
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

struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

struct Job {
  const Call* call;
  Fault* fault;
  int64_t chunk = 0;
  std::vector<Share>* shares = nullptr;
};

void run_range(const Job& job, int64_t begin, int64_t end) {
  job.call->kernel->run(*job.call, {begin, end, thread_scratch(), job.fault});
}

void work_on(const Job& job, int rank) {
  const int n = static_cast<int>(job.shares->size());
  for (int i = 0; i < n; ++i) {
    Share& share = (*job.shares)[(rank + i) % n];
    for (;;) {
      const int64_t begin = share.next.fetch_add(job.chunk, std::memory_order_relaxed);
      if (begin >= share.end) break;
      run_range(job, begin, std::min(share.end, begin + job.chunk));
    }
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
    if (call.work <= 0) return;
    Job job{&call, fault};
    const int n = threads();
    if (n == 1 || call.work <= call.grain) return run_range(job, 0, call.work);
    std::unique_lock taken(taken_, std::try_to_lock);
    if (!taken.owns_lock()) return run_range(job, 0, call.work);
    const int64_t part = call.work / (4 * n);  // rounded down: few items go one by one
    job.chunk = std::max<int64_t>({1, call.grain, part});
    const int64_t chunks = (call.work + job.chunk - 1) / job.chunk;
    const int shares = static_cast<int>(std::min<int64_t>(n, chunks));
    share_out(call.work, shares);
    job.shares = &shares_;
    start(shares - 1);
    publish(&job, shares - 1);
    work_on(job, 0);
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

  void share_out(int64_t work, int shares) {
    if (static_cast<int>(shares_.size()) != shares) shares_ = std::vector<Share>(shares);
    for (int64_t i = 0; i < shares; ++i) {
      shares_[i].next.store(work * i / shares, std::memory_order_relaxed);
      shares_[i].end = work * (i + 1) / shares;
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
      if (job && index < wanted_.load(std::memory_order_relaxed)) work_on(*job, index + 1);
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

  std::mutex taken_;           // held by the queue whose kernel has the pool
  std::vector<Share> shares_;  // of its kernel
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
