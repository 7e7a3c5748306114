#include "base/thread_pool.h"

#include <chrono>

namespace fedlora {

namespace {
inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
/// How long a worker spins before it sleeps: longer than the serial parts of a step, far shorter than the pause between steps.
constexpr auto spin_time = std::chrono::microseconds(200);
constexpr int spins_before_yield = 4096;
}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int member = 1; member < threads; ++member) workers_.emplace_back([this, member] { work(member); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::drain(int member) {
  for (int64_t index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) (*task_)(index, member);
}

void ThreadPool::work(int member) {
  uint64_t seen = 0;
  for (;;) {
    const auto spin_until = std::chrono::steady_clock::now() + spin_time;
    bool ready = false;
    for (int spins = 0; !ready; ++spins) {
      ready = generation_.load(std::memory_order_acquire) != seen || stopping_.load(std::memory_order_relaxed);
      if (ready) break;
      pause_cpu();
      if ((spins & 63) == 63 && std::chrono::steady_clock::now() > spin_until) break;
    }
    if (!ready) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleepers_;
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen || stopping_.load(); });
      --sleepers_;
    }
    if (stopping_) return;
    seen = generation_.load(std::memory_order_acquire);
    // Announce first, then ask whether the loop is still open: the caller closes first, then waits for those who announced.
    running_.fetch_add(1, std::memory_order_seq_cst);
    if (open_.load(std::memory_order_seq_cst)) drain(member);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::run(int64_t tasks, const std::function<void(int64_t, int)>& task) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int64_t index = 0; index < tasks; ++index) task(index, 0);
    return;
  }
  task_ = &task;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  bool sleeping;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    open_.store(true, std::memory_order_seq_cst);
    generation_.fetch_add(1, std::memory_order_release);
    sleeping = sleepers_ > 0;
  }
  if (sleeping) wake_.notify_all();
  drain(0);
  open_.store(false, std::memory_order_seq_cst);
  // On a busy machine the member we wait for may have lost its core: give ours away.
  for (int spins = 0; running_.load(std::memory_order_seq_cst) != 0; ++spins) {
    if (spins < spins_before_yield)
      pause_cpu();
    else
      std::this_thread::yield();
  }
}

}  // namespace fedlora
