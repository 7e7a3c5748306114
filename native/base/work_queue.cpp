#include "base/work_queue.h"

namespace fedlora {

WorkQueue::WorkQueue(Timing timing) : timing_(std::move(timing)) {
  thread_ = std::thread([this] { work(); });
}

void WorkQueue::stop() {
  std::deque<Job> waiting;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    for (const CancelFlag& cancel : in_flight_)
      if (cancel) cancel->store(true);
    for (std::deque<Job>* lane : {&urgent_, &steady_}) {
      for (Job& job : *lane) waiting.push_back(std::move(job));
      lane->clear();
    }
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Job& job : waiting) job.refuse();
}

void WorkQueue::push(Lane lane, std::function<void()> run, std::function<void()> refuse, CancelFlag cancel) {
  bool stopped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped = stopping_;
    if (!stopped) (lane == Lane::urgent ? urgent_ : steady_).push_back({std::move(run), std::move(refuse), std::move(cancel)});
  }
  if (stopped) return refuse();
  wake_.notify_one();
}

void WorkQueue::yield() {
  std::unique_lock<std::mutex> lock(mutex_);
  turns_.steady_piece(timing_.now() - piece_began_);
  serve_urgent(lock);
  piece_began_ = timing_.now();
}

void WorkQueue::expect_more(bool expected) { expected_until_ = expected ? timing_.now() + timing_.patience : Clock::time_point(); }

void WorkQueue::run_first(std::deque<Job>& lane, std::unique_lock<std::mutex>& lock) {
  const Job job = std::move(lane.front());
  lane.pop_front();
  in_flight_.push_back(job.cancel);
  lock.unlock();
  job.run();
  lock.lock();
  in_flight_.pop_back();
}

/// Urgent jobs, and those that are about to come, while steady work waits for its turn.
void WorkQueue::serve_urgent(std::unique_lock<std::mutex>& lock) {
  while (!stopping_ && turns_.allowance() > Turns::Time::zero()) {
    const Clock::time_point began = timing_.now();
    wake_.wait_for(lock, std::min(expected_until_ - began, turns_.allowance()), [&] { return stopping_ || !urgent_.empty(); });
    if (stopping_ || urgent_.empty()) return;
    run_first(urgent_, lock);
    turns_.urgent_job(timing_.now() - began);
  }
}

void WorkQueue::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !steady_.empty() || !urgent_.empty(); });
    if (!stopping_ && steady_.empty()) {
      run_first(urgent_, lock);
      continue;
    }
    serve_urgent(lock);
    if (stopping_) return;
    piece_began_ = timing_.now();
    run_first(steady_, lock);
    turns_.steady_piece(timing_.now() - piece_began_);
  }
}

}  // namespace fedlora
