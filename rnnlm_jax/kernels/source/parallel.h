// Parallel loops on XLA's threads and the calling one.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace rnnlm {

inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until a condition holds that another core is about to make true; yields the core if it takes long.
template <typename Condition>
void spin_until(Condition&& holds) {
  for (int spins = 0; !holds(); ++spins) {
    if (spins < 20000) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

class Parallel {
 public:
  explicit Parallel(xla::ffi::ThreadPool pool) : pool_(pool) {}

  // The calling thread included.
  int threads() const { return static_cast<int>(std::max<int64_t>(1, pool_.num_threads())); }

  // Runs `task` on another thread at some time, perhaps after the caller has returned.
  void schedule(std::function<void()> task) const { pool_.Schedule(std::move(task)); }

  // Calls f(0), ..., f(count - 1), in any order, each once; all are done on return. A thread that starts late finds
  // nothing to do and touches nothing of the caller's, so that the caller need not wait for it.
  template <typename F>
  void operator()(int64_t count, F&& f) const {
    const int64_t helpers = std::min<int64_t>(threads(), count) - 1;
    if (helpers <= 0) {
      for (int64_t i = 0; i < count; ++i) f(i);
      return;
    }
    struct Work {
      std::atomic<int64_t> next{0}, done{0};
    };
    auto work = std::make_shared<Work>();
    auto take = [work, count, &f] {
      for (int64_t i; (i = work->next.fetch_add(1)) < count;) {
        f(i);
        work->done.fetch_add(1);
      }
    };
    for (int64_t i = 0; i < helpers; ++i) schedule(take);
    take();
    spin_until([&] { return work->done.load() == count; });
  }

 private:
  mutable xla::ffi::ThreadPool pool_;
};

}  // namespace rnnlm
