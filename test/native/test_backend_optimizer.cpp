/// sum_of_squares, adamw and sgd of the CPU backend against the book.
#include "backend_check.h"
#include "ref/optimizer_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
struct Inputs {
  int64_t count;
  Tensor parameter, gradient, moment1, moment2;
  explicit Inputs(int64_t count) : count(count) {
    book::Random random(8);
    parameter = random.normals(count), gradient = random.normals(count, 0.01), moment1 = random.normals(count, 0.01);
    moment2 = random.normals(count, 0.01);
    for (double& value : moment2) value *= value;
  }
};
std::span<float> all(Numbers& numbers, int64_t count) { return {numbers.floats(), static_cast<size_t>(count)}; }
}  // namespace

CASE("adamw: several steps, weight decay, clipping") {
  const AdamWStep step{3e-3, 0.9, 0.999, 1e-8, 0.01, 4, 0.7f};
  for (int64_t count : {1, 7, 31, 33, 16384 + 3, 50'000}) {
    const Inputs in(count);
    check::each_backend(
        [&](CpuBackend& backend, bool) {
          Numbers p(true, in.parameter), g(true, in.gradient), m(true, in.moment1), v(true, in.moment2);
          backend.adamw(step, all(p, count), all(g, count), all(m, count), all(v, count));
          return std::vector<Numbers>{p, g, m, v};
        },
        [&](std::vector<Numbers>& got, bool) {
          Tensor p = Numbers(true, in.parameter).values(), g = Numbers(true, in.gradient).values(), m = Numbers(true, in.moment1).values(),
                 v = Numbers(true, in.moment2).values();
          ref::adamw<double>(step, count, p.data(), g.data(), m.data(), v.data());
          CHECK_LE(check::scaled_error(got[0].values(), p), 2e-7);
          CHECK_LE(check::scaled_error(got[2].values(), m), 2e-7);
          CHECK_LE(check::scaled_error(got[3].values(), v), 3e-7);
          for (double value : got[1].values()) CHECK(value == 0);
        });
  }
}

CASE("sgd: with and without momentum, first step and later") {
  for (int64_t count : {1, 7, 31, 33, 20'000})
    for (float momentum : {0.0f, 0.9f})
      for (bool first : {false, true}) {
        const Inputs in(count);
        check::each_backend(
            [&](CpuBackend& backend, bool) {
              Numbers p(true, in.parameter), g(true, in.gradient), b(true, in.moment1);
              backend.sgd(0.1f, momentum, 0.02f, 0.5f, first, all(p, count), all(g, count),
                          momentum == 0 ? std::span<float>() : all(b, count));
              return std::vector<Numbers>{p, g, b};
            },
            [&](std::vector<Numbers>& got, bool) {
              Tensor p = Numbers(true, in.parameter).values(), g = Numbers(true, in.gradient).values(),
                     b = Numbers(true, in.moment1).values();
              ref::sgd<double>(0.1f, momentum, 0.02f, 0.5f, first, count, p.data(), g.data(), b.data());
              CHECK_LE(check::scaled_error(got[0].values(), p), 2e-7);
              CHECK_LE(check::scaled_error(got[2].values(), b), 3e-7);
              for (double value : got[1].values()) CHECK(value == 0);
            });
      }
}

CASE("gradient_terms: the pull to an anchor, a correction, both and none") {
  for (int64_t count : {1, 7, 31, 33, 16384 + 3, 50'000})
    for (int terms : {0, 1, 2, 3}) {
      const Inputs in(count);
      const bool pull = terms & 1, correct = terms & 2;
      std::vector<Numbers> first;
      check::each_backend(
          [&](CpuBackend& backend, bool) {
            Numbers p(true, in.parameter), g(true, in.gradient), a(true, in.moment1), c(true, in.moment2);
            backend.gradient_terms(0.3f, all(p, count), pull ? all(a, count) : std::span<float>(),
                                   correct ? all(c, count) : std::span<float>(), all(g, count));
            return std::vector<Numbers>{g, p, a, c};
          },
          [&](std::vector<Numbers>& got, bool) {
            const Tensor p = Numbers(true, in.parameter).values(), a = Numbers(true, in.moment1).values(),
                         c = Numbers(true, in.moment2).values();
            Tensor g = Numbers(true, in.gradient).values();
            ref::gradient_terms<double>(0.3f, count, p.data(), pull ? a.data() : nullptr, correct ? c.data() : nullptr, g.data());
            CHECK_LE(check::scaled_error(got[0].values(), g), 3e-7);  // at most four roundings
            if (terms == 0) CHECK(got[0].values() == Numbers(true, in.gradient).values());
            CHECK(got[1].values() == p && got[2].values() == a && got[3].values() == c);
            if (first.empty()) first = got;
            CHECK(got[0].values() == first[0].values());  // multiplied, then added, on every instruction set
          });
    }
}

CASE("sum_of_squares: right to double precision, the same bits everywhere") {
  for (int64_t count : {0, 1, 7, 4095, 4096, 4097, 100'001}) {
    const Inputs in(count);
    Numbers x(true, in.parameter);
    double want = 0;
    for (double value : x.values()) want += value * value;
    const double first = CpuBackend(Compute::f32, 1, Isa::scalar).sum_of_squares(all(x, count));
    CHECK_LE(std::fabs(first - want), 1e-13 * (1 + want));
    for (Isa isa : check::levels())
      for (int threads : {1, 2, 3}) CHECK(CpuBackend(Compute::bf16, threads, isa).sum_of_squares(all(x, count)) == first);
  }
}

CASE("optimisers run the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(gradient_terms_block);
  CHECK_OWN_KERNEL(adamw_block);
  CHECK_OWN_KERNEL(sgd_block);
  CHECK_OWN_KERNEL(sum_of_squares_block);
}

CASE("canary: a step that forgets the bias correction is found") {
  const Inputs in(33);
  CpuBackend backend(Compute::f32, 1, detect_isa());
  Numbers p(true, in.parameter), g(true, in.gradient), m(true, in.moment1), v(true, in.moment2);
  Tensor want = p.values(), gradient = g.values(), m1 = m.values(), m2 = v.values();
  ref::adamw<double>({3e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1'000'000, 1}, 33, want.data(), gradient.data(), m1.data(), m2.data());
  backend.adamw({3e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 4, 1}, all(p, 33), all(g, 33), all(m, 33), all(v, 33));
  CHECK(!(check::scaled_error(p.values(), want) <= 2e-7));
}

CASE("canary: a pull away from the anchor is found") {
  const Inputs in(33);
  CpuBackend backend(Compute::f32, 1, detect_isa());
  Numbers p(true, in.parameter), g(true, in.gradient), a(true, in.moment1);
  const Tensor parameter = p.values(), anchor = a.values();
  Tensor want = g.values();
  ref::gradient_terms<double>(0.3f, 33, anchor.data(), parameter.data(), nullptr, want.data());
  backend.gradient_terms(0.3f, all(p, 33), all(a, 33), {}, all(g, 33));
  CHECK(!(check::scaled_error(g.values(), want) <= 3e-7));
}

TEST_MAIN()
