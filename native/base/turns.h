/// Who goes next where urgent and steady work share a thread.
///
/// Urgent work (a token that somebody waits for) goes before steady work (the next micro-batch), and both get about half of the time:
/// urgent work may hold steady work up for as long as the last piece of steady work took, which is called its allowance. Then a piece of
/// steady work goes, and renews it. So urgent work of length t ends within 2t and one piece of steady work, and steady work goes on after
/// any piece of length m within m and one urgent job.
#pragma once
#include <algorithm>
#include <chrono>

namespace fedlora {

class Turns {
 public:
  using Time = std::chrono::nanoseconds;
  void steady_piece(Time took) { allowance_ = took; }
  /// Time for which urgent work held steady work up.
  void urgent_job(Time took) { allowance_ -= std::min(took, allowance_); }
  Time allowance() const { return allowance_; }

 private:
  Time allowance_{};
};

}  // namespace fedlora
