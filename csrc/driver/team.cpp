// One team for all queues. Its threads sleep between runs: one that span would take the core that
// the pool's threads need for the next kernel.
#include "driver/team.h"

#include <atomic>
#include <barrier>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace trn::driver {
namespace {

struct Member {
  int rank = 0, size = 1;
  std::barrier<>* barrier = nullptr;
};
thread_local Member member;

void run_as(Member m, void (*run)(void*), void* context) {
  const Member before = std::exchange(member, m);
  run(context);
  member = before;
}

class Team {
 public:
  void run(void (*run)(void*), void* context, int threads) {
    std::unique_lock taken(taken_, std::defer_lock);
    if (threads <= 1 || member.size > 1 || !taken.try_lock()) return run_as({}, run, context);
    while (static_cast<int>(helpers_.size()) < threads - 1) {
      const int rank = static_cast<int>(helpers_.size()) + 1;
      helpers_.emplace_back([this, rank, seen = epoch_.load()] { loop(rank, seen); });
      helpers_.back().detach();
    }
    std::barrier barrier(threads);
    run_ = run, context_ = context, size_ = threads, barrier_ = &barrier;
    // Every helper looks at the job, also one that has no part in it, so that none sees it change.
    const int helpers = static_cast<int>(helpers_.size());
    pending_.store(helpers);
    epoch_.fetch_add(1);
    epoch_.notify_all();
    run_as({0, threads, &barrier}, run, context);
    for (int left; (left = pending_.load()) != 0;) pending_.wait(left);
  }

 private:
  void loop(int rank, unsigned seen) {
    for (;;) {
      epoch_.wait(seen);
      seen = epoch_.load();
      if (rank < size_) run_as({rank, size_, barrier_}, run_, context_);
      if (pending_.fetch_sub(1) == 1) pending_.notify_one();
    }
  }

  std::mutex taken_;
  std::vector<std::thread> helpers_;
  void (*run_)(void*) = nullptr;  // the job: written before the epoch rises, read after
  void* context_ = nullptr;
  int size_ = 1;
  std::barrier<>* barrier_ = nullptr;
  std::atomic<unsigned> epoch_{0};
  std::atomic<int> pending_{0};
};

}  // namespace

void run_team(void (*run)(void*), void* context, int threads) {
  static auto* team = new Team;  // its threads outlive static destruction
  team->run(run, context, threads);
}

int team_rank() { return member.rank; }
int team_size() { return member.size; }
void team_barrier() {
  if (member.barrier) member.barrier->arrive_and_wait();
}

}  // namespace trn::driver
