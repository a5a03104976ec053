// Work in steps: all tasks of a step are done before the next one begins.
//
// One parallel region spans all steps: threads synchronise at the end of each step by spinning, which takes a fraction
// of a microsecond, and are not woken again. Every thread has its own tasks, the same at each step, so that their data
// stays in its cache; after them it takes tasks of the others. So the threads that run do all the work and do not wait
// for threads that were never started.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "parallel.h"

namespace rnnlm {

// Calls f(step, task) for all tasks of step 0, then of step 1, ...
template <typename Parallel, typename F>
void in_steps(int64_t steps, int64_t tasks, int64_t participants, const Parallel& parallel, F&& f) {
  participants = std::min(participants, tasks);
  if (participants <= 1) {
    for (int64_t step = 0; step < steps; ++step)
      for (int64_t task = 0; task < tasks; ++task) f(step, task);
    return;
  }
  struct alignas(64) Share {
    std::atomic<int64_t> taken{0};  // over all steps so far
    int64_t first = 0, size = 0;
  };
  std::vector<Share> shares(participants);
  for (int64_t p = 0; p < participants; ++p) {
    shares[p].first = p * tasks / participants;
    shares[p].size = (p + 1) * tasks / participants - shares[p].first;
  }
  alignas(64) std::atomic<int64_t> done{0};  // tasks, over all steps so far

  parallel(participants, [&](int64_t self) {
    for (int64_t step = done.load() / tasks; step < steps; step = std::max(step + 1, done.load() / tasks)) {
      int64_t mine = 0;
      for (int64_t p = 0; p < participants; ++p) {
        Share& share = shares[(self + p) % participants];
        int64_t taken = share.taken.load();
        while (taken < (step + 1) * share.size) {
          if (!share.taken.compare_exchange_weak(taken, taken + 1)) continue;
          f(step, share.first + taken - step * share.size);
          ++mine;
          taken = share.taken.load();
        }
      }
      if (mine > 0) done.fetch_add(mine);
      spin_until([&] { return done.load() >= (step + 1) * tasks; });
    }
  });
}

// Returns how many threads to use, so that each has about a hundred thousand operations between two barriers.
inline int64_t worthwhile(int64_t threads, int64_t operations) {
  return std::clamp<int64_t>(operations / 100000, 1, threads);
}

}  // namespace rnnlm
