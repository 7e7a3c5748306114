/// A small TAP harness: `CASE(name) { … }` registers a case, `CHECK…` judges, `main` runs all and exits non-zero when one fails.
/// Comparisons are written !(error <= tolerance), so that NaN fails. `--only TEXT` runs the cases whose name contains TEXT.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace harness {

struct Case {
  const char* name;
  std::function<void()> body;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline int& failures() {
  static int count = 0;
  return count;
}

struct Register {
  Register(const char* name, std::function<void()> body) { cases().push_back({name, std::move(body)}); }
};

/// The number of the case that runs, from 1.
inline int& current_case() {
  static int number = 0;
  return number;
}

inline void report(const char* file, int line, const std::string& text) {
  if (++failures() <= 20) std::printf("# %s:%d %s\n", file, line, text.c_str());
}

/// What came nearest to its tolerance in the case that runs; printed behind it.
struct Nearest {
  double share = 0, error = 0, tolerance = 0;
  int line = 0;
};
inline Nearest& nearest() {
  static Nearest one;
  return one;
}

/// `error <= tolerance`; NaN fails.
inline void judge(const char* file, int line, const std::string& what, double error, double tolerance) {
  if (tolerance > 0 && error / tolerance > nearest().share) nearest() = {error / tolerance, error, tolerance, line};
  if (!(error <= tolerance)) report(file, line, what + fedlora::format_text(" = %.6g, allowed %.6g", error, tolerance));
}

/// Largest |got − want|; NaN when either side is not finite and they differ.
inline double max_error(const float* got, const float* want, size_t count) {
  double worst = 0;
  for (size_t i = 0; i < count; ++i) {
    const double error = std::fabs(static_cast<double>(got[i]) - want[i]);
    if (!(error <= worst)) worst = error;
    if (std::isnan(worst)) return worst;
  }
  return worst;
}

/// ‖got − want‖ / ‖want‖ in the 2-norm.
inline double relative_error(const float* got, const float* want, size_t count) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < count; ++i) {
    const double d = static_cast<double>(got[i]) - want[i];
    difference += d * d;
    norm += static_cast<double>(want[i]) * want[i];
  }
  return std::sqrt(difference) / (norm > 0 ? std::sqrt(norm) : 1.0);
}

inline int run(int argc, char** argv) {
  const char* only = argc > 2 && std::strcmp(argv[1], "--only") == 0 ? argv[2] : nullptr;
  int& number = current_case();
  int failed = 0;
  for (const Case& test : cases()) {
    if (only && !std::strstr(test.name, only)) continue;
    failures() = 0;
    nearest() = {};
    ++number;
    try {
      test.body();
    } catch (const fedlora::Error& error) {
      report(__FILE__, __LINE__, std::string(fedlora::code_name(error.code())) + ": " + error.what());
    } catch (const std::exception& error) {
      report(__FILE__, __LINE__, error.what());
    }
    failed += failures() > 0;
    if (failures() == 0 && nearest().share > 0)
      std::printf("# line %d: %.3g of %.3g allowed\n", nearest().line, nearest().error, nearest().tolerance);
    std::printf("%s %d - %s\n", failures() ? "not ok" : "ok", number, test.name);
    std::fflush(stdout);
  }
  std::printf("1..%d\n", number);
  return failed ? 1 : 0;
}

}  // namespace harness

#define HARNESS_JOIN2(a, b) a##b
#define HARNESS_JOIN(a, b) HARNESS_JOIN2(a, b)
#define CASE(name)                                                                                 \
  static void HARNESS_JOIN(case_, __LINE__)();                                                     \
  static harness::Register HARNESS_JOIN(register_, __LINE__)(name, HARNESS_JOIN(case_, __LINE__)); \
  static void HARNESS_JOIN(case_, __LINE__)()
#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) harness::report(__FILE__, __LINE__, "failed: " #condition); \
  } while (0)
/// `error <= tolerance`, NaN fails; prints both.
#define CHECK_LE(error, tolerance) harness::judge(__FILE__, __LINE__, #error, error, tolerance)
/// The expression throws fedlora::Error with this code.
#define CHECK_THROWS(expression, expected)                                                                                       \
  do {                                                                                                                           \
    bool thrown_ = false;                                                                                                        \
    try {                                                                                                                        \
      expression;                                                                                                                \
    } catch (const fedlora::Error& error_) {                                                                                     \
      thrown_ = true;                                                                                                            \
      if (error_.code() != fedlora::Code::expected)                                                                              \
        harness::report(__FILE__, __LINE__,                                                                                      \
                        std::string("expected " #expected ", got ") + fedlora::code_name(error_.code()) + ": " + error_.what()); \
    }                                                                                                                            \
    if (!thrown_) harness::report(__FILE__, __LINE__, #expression " did not throw " #expected);                                  \
  } while (0)
#define TEST_MAIN() \
  int main(int argc, char** argv) { return harness::run(argc, argv); }
