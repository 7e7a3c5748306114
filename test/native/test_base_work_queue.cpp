/// The queue of an engine's thread: order within and between lanes, turns, and its end. Events in order, no clock.
#include <future>

#include "base/work_queue.h"
#include "harness.h"

using namespace fedlora;
using namespace std::chrono_literals;

namespace {
/// What happened, in order; a job may wait for something to have happened.
class Log {
 public:
  void add(const std::string& event) {
    std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  void wait_for(const std::string& event) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return std::find(events_.begin(), events_.end(), event) != events_.end(); });
  }
  std::string text() {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string text;
    for (const std::string& event : events_) text += (text.empty() ? "" : " ") + event;
    return text;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
};

/// A queue whose clock only goes when a job says so, and that is patient enough for any machine.
struct Bench {
  Log log;
  std::atomic<int64_t> milliseconds = 1;
  WorkQueue queue;

  explicit Bench(std::chrono::nanoseconds patience = 10min)
      : queue({[this] { return WorkQueue::Clock::time_point(milliseconds.load() * 1ms); }, patience}) {}
  ~Bench() { queue.stop(); }
  /// A job that takes `duration` ms on that clock.
  void push(Lane lane, const std::string& name, int duration = 0, std::function<void()> work = {}) {
    queue.push(
        lane,
        [this, name, duration, work] {
          milliseconds += duration;
          if (work) work();
          log.add(name);
        },
        [this, name] { log.add("refused-" + name); }, nullptr);
  }
};
}  // namespace

CASE("turns: urgent work may hold steady work up for as long as the last piece of it took") {
  Turns turns;
  CHECK(turns.allowance() == 0ms);
  turns.steady_piece(100ms);
  turns.urgent_job(60ms);
  CHECK(turns.allowance() == 40ms);
  turns.urgent_job(60ms);
  CHECK(turns.allowance() == 0ms);
  turns.steady_piece(10ms);
  CHECK(turns.allowance() == 10ms);
}

CASE("turns: endless urgent work leaves steady work half of the time") {
  Turns turns;
  std::chrono::nanoseconds urgent{}, steady{};
  for (int piece = 0; piece < 100; ++piece) {
    const auto took = std::chrono::milliseconds(20 + piece % 7);
    turns.steady_piece(took), steady += took;
    while (turns.allowance() > 0ms) turns.urgent_job(3ms), urgent += 3ms;
  }
  CHECK(urgent <= steady + 100 * 3ms);
  CHECK(urgent >= steady);
}

CASE("lanes: each in order; urgent jobs before the steady ones that wait, as long as it is their turn") {
  Bench bench;
  std::promise<void> go;
  bench.push(Lane::steady, "hold", 10, [&] { go.get_future().wait(); });
  for (const char* name : {"s1", "s2", "s3"}) bench.push(Lane::steady, name, 20);
  for (const char* name : {"u1", "u2", "u3", "u4", "u5", "u6"}) bench.push(Lane::urgent, name, 5);
  go.set_value();
  bench.log.wait_for("s3");
  CHECK(bench.log.text() == "hold u1 u2 s1 u3 u4 u5 u6 s2 s3");
}

CASE("a steady job that yields lets urgent jobs go between its pieces; one that does not is not interrupted") {
  for (bool yields : {true, false}) {
    Bench bench;
    bench.push(Lane::steady, "step", 0, [&] {
      for (const std::string piece : {"p1", "p2", "p3"}) {
        bench.milliseconds += 10;
        bench.log.add(piece);
        if (piece == "p2") bench.push(Lane::urgent, "u", 1), bench.push(Lane::steady, "s", 1);
        if (yields) bench.queue.yield();
      }
    });
    bench.log.wait_for("s");
    CHECK(bench.log.text() == (yields ? "p1 p2 u p3 step s" : "p1 p2 p3 step u s"));
  }
}

CASE("a chain of urgent jobs is waited for while it has its turn, and no longer") {
  Bench bench;
  std::thread caller([&] {
    bench.log.wait_for("u1");
    std::this_thread::sleep_for(1ms);
    bench.push(Lane::urgent, "u2", 60, [&] { bench.queue.expect_more(true); });
  });
  bench.push(Lane::steady, "step", 100, [&] {
    bench.push(Lane::urgent, "u1", 50, [&] { bench.queue.expect_more(true); });
    bench.queue.yield();
    bench.push(Lane::urgent, "u3", 1);
    bench.log.add("p2");
  });
  bench.log.wait_for("u3");
  caller.join();
  CHECK(bench.log.text() == "u1 u2 p2 step u3");
}

CASE("a chain that breaks off costs the patience, one that is over nothing") {
  Bench impatient(1ms);
  impatient.push(Lane::steady, "step", 100, [&] {
    impatient.push(Lane::urgent, "u", 1, [&] { impatient.queue.expect_more(true); });
    impatient.queue.yield();
  });
  impatient.log.wait_for("step");
  Bench patient;
  patient.push(Lane::steady, "step", 100, [&] {
    patient.push(Lane::urgent, "u1", 1, [&] { patient.queue.expect_more(true); });
    patient.push(Lane::urgent, "u2", 1, [&] { patient.queue.expect_more(false); });
    patient.queue.yield();
  });
  patient.log.wait_for("step");
  CHECK(patient.log.text() == "u1 u2 step");
}

CASE("endless urgent work does not keep steady work from its turn, nor a step from its end") {
  Bench bench;
  std::atomic<int> urgent = 0;
  std::function<void()> endless = [&] {  // a job that leaves another behind, always
    bench.milliseconds += 3;
    ++urgent;
    bench.queue.expect_more(true);
    bench.queue.push(Lane::urgent, endless, [] {}, nullptr);
  };
  bench.push(Lane::steady, "step", 0, [&] {
    bench.queue.push(Lane::urgent, endless, [] {}, nullptr);
    for (int piece = 0; piece < 5; ++piece) bench.milliseconds += 9, bench.queue.yield();
    bench.push(Lane::steady, "next", 9);
  });
  bench.log.wait_for("next");
  bench.queue.stop();  // the jobs refer to what is declared behind the queue
  CHECK(urgent >= 15);
}

CASE("urgent jobs need no steady ones, and steady ones no urgent ones") {
  Bench bench(1ms);
  for (const char* name : {"u1", "u2", "u3"}) bench.push(Lane::urgent, name, 5);
  bench.push(Lane::urgent, "last", 5, [&] { bench.queue.expect_more(true); });
  bench.log.wait_for("last");
  bench.push(Lane::steady, "s", 5);
  bench.log.wait_for("s");
  CHECK(bench.log.text() == "u1 u2 u3 last s");
}

CASE("the end: jobs in flight in both lanes are cancelled, those that wait and those that come are refused") {
  Bench bench;
  const CancelFlag outer = std::make_shared<std::atomic<bool>>(false), inner = std::make_shared<std::atomic<bool>>(false);
  const auto until = [](const CancelFlag& flag) {
    while (!*flag) std::this_thread::yield();
  };
  bench.queue.push(
      Lane::steady,
      [&] {
        bench.milliseconds += 10;
        bench.queue.push(Lane::urgent, [&] { bench.log.add("inner-begun"), until(inner), bench.log.add("inner"); }, [] {}, inner);
        bench.queue.yield();
        until(outer);
        bench.log.add("outer");
      },
      [] {}, outer);
  bench.log.wait_for("inner-begun");
  bench.push(Lane::steady, "s");
  bench.push(Lane::urgent, "u");
  bench.queue.stop();
  bench.push(Lane::urgent, "late");
  CHECK(bench.log.text() == "inner-begun inner outer refused-u refused-s refused-late");
}

CASE("canary: without turns, or without an allowance, the order is another") {
  Bench bench;
  std::promise<void> go;
  bench.push(Lane::steady, "hold", 0, [&] { go.get_future().wait(); });  // takes no time: nothing is allowed
  bench.push(Lane::steady, "s1", 20);
  bench.push(Lane::urgent, "u1", 5);
  go.set_value();
  bench.log.wait_for("u1");
  CHECK(bench.log.text() == "hold s1 u1");
}

TEST_MAIN()
