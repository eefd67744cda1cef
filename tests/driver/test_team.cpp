// Teams: every rank once, at the same time, one job after another; alone where a team is not to be
// had.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "driver/team.h"

namespace trn::driver {
namespace {

template <class Function>
void team(int threads, Function function) {
  run_team([](void* f) { (*static_cast<Function*>(f))(); }, &function, threads);
}

TEST(Team, EveryRankRunsOnceAndBarriersHold) {
  for (int round = 0; round < 200; ++round) {
    const int threads = 1 + round % 4;
    std::vector<int> runs(threads), seen(threads);
    team(threads, [&] {
      ASSERT_EQ(team_size(), threads);
      ++runs[team_rank()];
      team_barrier();
      for (const int r : runs) seen[team_rank()] += r;
      team_barrier();
    });
    for (int rank = 0; rank < threads; ++rank) {
      EXPECT_EQ(runs[rank], 1);
      EXPECT_EQ(seen[rank], threads) << "a rank passed the barrier before another came";
    }
  }
  EXPECT_EQ(team_size(), 1);
  EXPECT_EQ(team_rank(), 0);
  team_barrier();  // outside a team there is no one to wait for
}

TEST(Team, InsideATeamEachThreadRunsAlone) {
  std::atomic<int> runs{0};
  team(3, [&] {
    const int rank = team_rank();
    team(3, [&] {
      EXPECT_EQ(team_size(), 1);
      ++runs;
    });
    EXPECT_EQ(team_rank(), rank);
  });
  EXPECT_EQ(runs, 3);
}

TEST(Team, TwoQueuesAtOnce) {
  std::atomic<int> total{0};
  auto queue = [&] {
    for (int i = 0; i < 300; ++i) {
      std::atomic<int> members{0};
      team(2, [&] {
        ++members;
        team_barrier();
        EXPECT_EQ(members, team_size());
      });
      total += members > 0;
    }
  };
  std::thread first(queue), second(queue);
  first.join();
  second.join();
  EXPECT_EQ(total, 600);
}

}  // namespace
}  // namespace trn::driver
