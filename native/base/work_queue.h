/// A thread of its own that works off jobs, in order in each of two lanes. Urgent jobs go first, as long as it is their turn (turns.h),
/// also in the middle of a steady job, where that yields.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/turns.h"

namespace fedlora {

using CancelFlag = std::shared_ptr<std::atomic<bool>>;

enum class Lane { steady, urgent };

class WorkQueue {
 public:
  using Clock = std::chrono::steady_clock;
  struct Timing {
    std::function<Clock::time_point()> now = Clock::now;
    /// How long steady work waits, out of its turn, for the next of a chain of urgent jobs.
    std::chrono::nanoseconds patience = std::chrono::milliseconds(50);
  };

  WorkQueue() : WorkQueue(Timing()) {}
  explicit WorkQueue(Timing timing);
  ~WorkQueue() { stop(); }
  WorkQueue(const WorkQueue&) = delete;

  /// `refuse` is called instead of `run` when the queue stops before its turn. Neither throws. `cancel` is raised when the queue stops
  /// while the job runs.
  void push(Lane lane, std::function<void()> run, std::function<void()> refuse, CancelFlag cancel);
  /// Cancels the jobs in flight, refuses those that wait, joins; refuses further ones.
  void stop();

  /// Within a steady job, between two of its pieces: runs urgent jobs here and now if it is their turn.
  void yield();
  /// Within an urgent job: whether the next of its chain will come as soon as its caller has seen this one's result.
  void expect_more(bool expected);

 private:
  struct Job {
    std::function<void()> run, refuse;
    CancelFlag cancel;
  };
  void work();
  void serve_urgent(std::unique_lock<std::mutex>& lock);
  void run_first(std::deque<Job>& lane, std::unique_lock<std::mutex>& lock);

  const Timing timing_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> steady_, urgent_;
  std::vector<CancelFlag> in_flight_;  // an urgent job above the steady one that yields to it
  bool stopping_ = false;
  // The thread's own:
  Turns turns_;
  Clock::time_point piece_began_{}, expected_until_{};
  std::thread thread_;
};

}  // namespace fedlora
