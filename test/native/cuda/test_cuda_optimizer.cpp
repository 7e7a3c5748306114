// Flat vectors against the book: the gradient's norm, what an algorithm adds to it, AdamW, SGD.
#include "cuda_check.h"

#include "backend/cuda/launch/optimizer.h"
#include "ref/optimizer_ref.h"

using namespace fedlora;
using check::Tensor;
using cuda::Element;
using cuda::Queue;

namespace {

struct Inputs {
  Tensor parameter, gradient, moment1, moment2;
  explicit Inputs(int64_t count) {
    book::Random random(8);
    const auto floats = [&](double scale) {
      Tensor values = random.normals(count, scale);
      for (double& value : values) value = static_cast<float>(value);
      return values;
    };
    parameter = floats(1), gradient = floats(0.01), moment1 = floats(0.01), moment2 = floats(0.01);
    for (double& value : moment2) value = static_cast<float>(value * value);
  }
};

float* floats(const check::DeviceNumbers& numbers) { return numbers.DeviceBytes::data<float>(); }

}  // namespace

CASE("sum_of_squares: blocks of 4,096, more of them than threads, and what is left") {
  for (const int64_t count : {int64_t{1}, int64_t{255}, int64_t{4096}, int64_t{4097}, int64_t{70000}, int64_t{257 * 4096 + 5}}) {
    const Inputs in(count);
    long double want = 0;
    for (const double value : in.parameter) want += value * value;
    check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
      const check::DeviceNumbers x(Element::f32, in.parameter);
      check::DeviceArray<double> result(1);
      check::DeviceBytes workspace(cuda::sum_of_squares_workspace(count));
      cuda::sum_of_squares(queue, count, floats(x), result.data(), workspace.data());
      outputs.keep("result", result);
      outputs.keep("workspace", workspace);
      CHECK_LE(std::fabs(static_cast<double>(result.values()[0] / want - 1)), 1e-13);  // both in double
    });
  }
}

CASE("gradient_terms: the pull to an anchor, a correction, both and none") {
  for (const int64_t count : {1, 33, 1024, 2049})
    for (const int terms : {0, 1, 2, 3}) {
      const Inputs in(count);
      const bool pull = (terms & 1) != 0, correct = (terms & 2) != 0;
      Tensor want = in.gradient;
      ref::gradient_terms<double>(0.3f, count, in.parameter.data(), pull ? in.moment1.data() : nullptr,
                                  correct ? in.moment2.data() : nullptr, want.data());
      check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
        const check::DeviceNumbers p(Element::f32, in.parameter), a(Element::f32, in.moment1), c(Element::f32, in.moment2);
        check::DeviceNumbers g(Element::f32, in.gradient);
        cuda::gradient_terms(queue, 0.3f, count, floats(p), pull ? floats(a) : nullptr, correct ? floats(c) : nullptr, floats(g));
        outputs.keep("gradient", g);
        CHECK_LE(check::scaled_error(g.values(), want), 3e-7);  // at most four roundings
      });
    }
}

CASE("adamw: weight decay, clipping; the gradient is zero afterwards") {
  const AdamWStep step{3e-3, 0.9, 0.999, 1e-8, 0.01, 4, 0.7f};
  for (const int64_t count : {1, 33, 1024, 2049}) {
    const Inputs in(count);
    Inputs want = in;
    ref::adamw<double>(step, count, want.parameter.data(), want.gradient.data(), want.moment1.data(), want.moment2.data());
    check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
      check::DeviceNumbers p(Element::f32, in.parameter), g(Element::f32, in.gradient), m(Element::f32, in.moment1),
          v(Element::f32, in.moment2);
      cuda::adamw(queue, step, count, floats(p), floats(g), floats(m), floats(v));
      outputs.keep("parameter", p);
      outputs.keep("gradient", g);
      outputs.keep("moment1", m);
      outputs.keep("moment2", v);
      CHECK_LE(check::scaled_error(p.values(), want.parameter), 2e-7);
      CHECK_LE(check::scaled_error(m.values(), want.moment1), 2e-7);
      CHECK_LE(check::scaled_error(v.values(), want.moment2), 3e-7);
      CHECK(g.values() == Tensor(static_cast<size_t>(count), 0));
    });
  }
}

CASE("sgd: with and without momentum, first step and later") {
  for (const int64_t count : {1, 33, 2049})
    for (const float momentum : {0.0f, 0.9f})
      for (const bool first : {false, true}) {
        const Inputs in(count);
        Inputs want = in;
        ref::sgd<double>(0.1f, momentum, 0.02f, 0.5f, first, count, want.parameter.data(), want.gradient.data(), want.moment1.data());
        check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
          check::DeviceNumbers p(Element::f32, in.parameter), g(Element::f32, in.gradient), b(Element::f32, in.moment1);
          cuda::sgd(queue, 0.1f, momentum, 0.02f, 0.5f, first, count, floats(p), floats(g), floats(b));
          outputs.keep("parameter", p);
          outputs.keep("momentum", b);
          CHECK_LE(check::scaled_error(p.values(), want.parameter), 2e-7);
          CHECK_LE(check::scaled_error(b.values(), want.moment1), 3e-7);
          CHECK(g.values() == Tensor(static_cast<size_t>(count), 0));
        });
      }
}

CUDA_TEST_MAIN()
