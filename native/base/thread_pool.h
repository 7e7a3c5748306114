/// A fixed team of threads for the parallel loops inside one step. The caller is member 0; the others spin for a moment after a
/// loop (a parked thread takes 60 µs to wake, a layer takes less) and then sleep, so that an idle pool costs nothing.
/// A member that wakes too late is not waited for. Which member runs a task never changes a result: tasks write disjoint outputs.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fedlora {

class ThreadPool {
 public:
  /// `threads` ≥ 1 members, the caller included.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls `task(index, member)` for every index in [0, tasks); returns when all are done. Indices are handed out in order, one
  /// at a time. `member` < threads() names the scratch memory to use. Not reentrant. Tasks must not throw.
  void run(int64_t tasks, const std::function<void(int64_t index, int member)>& task);

 private:
  void work(int member);
  void drain(int member);

  std::vector<std::thread> workers_;
  const std::function<void(int64_t, int)>* task_ = nullptr;
  int64_t tasks_ = 0;
  std::atomic<int64_t> next_{0};
  std::atomic<int> running_{0};    // members inside the loop, the caller not counted
  std::atomic<bool> open_{false};  // the loop may still be joined
  std::atomic<uint64_t> generation_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  int sleepers_ = 0;
};

/// The loop of `pool`, or a plain one without a pool.
inline void run_tasks(ThreadPool* pool, int64_t tasks, const std::function<void(int64_t index, int member)>& task) {
  if (pool) return pool->run(tasks, task);
  for (int64_t index = 0; index < tasks; ++index) task(index, 0);
}

}  // namespace fedlora
