/// linear_cross_entropy and head_logits of the CPU backend against the book.
#include "backend_check.h"
#include "quant/encode.h"
#include "ref/cross_entropy_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
struct Inputs {
  int64_t M, V, K;
  Tensor x, head;
  Matrix matrix;
  std::vector<int32_t> targets;
  Inputs(int64_t M, int64_t V, int64_t K) : M(M), V(V), K(K) {
    book::Random random(30);
    x = random.normals(M * K);
    head = Numbers(false, random.normals(V * K, 2 / std::sqrt(K))).values();  // exact in bf16
    matrix.format = Format::bf16, matrix.N = V, matrix.K = K;
    matrix.data = AlignedBuffer<uint8_t>(static_cast<size_t>(V * K) * 2);
    for (int64_t i = 0; i < V * K; ++i)
      reinterpret_cast<bf16*>(matrix.data.data())[i] = to_bf16(static_cast<float>(head[static_cast<size_t>(i)]));
    for (int64_t m = 0; m < M; ++m) targets.push_back(static_cast<int32_t>(random.below(static_cast<uint32_t>(V))));
  }
};

constexpr float divider = 2.0f;

/// Rows of several owners: each run of 5 rows has a scale of its own; a chunk of 150 rows begins with another than the first.
std::vector<float> scales_of(int64_t M) {
  std::vector<float> scales;
  for (int64_t m = 0; m < M; ++m) scales.push_back(0.25f / static_cast<float>(1 + m / 5 % 4));
  return scales;
}

struct Result {
  Tensor losses, d_x, roundings;  // roundings: Σ|terms| of each element of d_x that bf16 rounds
  std::vector<uint8_t> correct;
};
Result book_result(const Inputs& in, bool f32, double book_divider = divider) {
  const Tensor x = Numbers(f32, in.x).values();
  Result want{Tensor(static_cast<size_t>(in.M)), Tensor(x.size()), {}, std::vector<uint8_t>(static_cast<size_t>(in.M))};
  ref::linear_cross_entropy<double>(in.M, in.V, in.K, x.data(), in.head.data(), book_divider, in.targets, 1, want.losses.data(),
                                    want.correct.data(), want.d_x.data());
  const std::vector<float> scales = scales_of(in.M);
  for (size_t i = 0; i < want.d_x.size(); ++i) want.d_x[i] *= scales[i / static_cast<size_t>(in.K)];
  // The exponentials are rounded, then the probabilities made of them; at the target softmax − 1; then d_x.
  for (size_t m = 0; m < static_cast<size_t>(in.M); ++m) {
    const size_t K = static_cast<size_t>(in.K), target = static_cast<size_t>(in.targets[m]);
    const auto logit = [&](size_t v) {
      double sum = 0;
      for (size_t k = 0; k < K; ++k) sum += x[m * K + k] * in.head[v * K + k];
      return sum / book_divider;
    };
    const double lse = want.losses[m] + logit(target);
    for (size_t k = 0; k < K; ++k) want.roundings.push_back(std::fabs(want.d_x[m * K + k]));
    for (size_t v = 0; v < static_cast<size_t>(in.V); ++v) {
      const double p = std::exp(logit(v) - lse), rounded = v == target ? 1 - p : 2 * p;
      for (size_t k = 0; k < K; ++k) want.roundings[m * K + k] += rounded * std::fabs(in.head[v * K + k]) / book_divider * scales[m];
    }
  }
  return want;
}

/// The largest share of what is allowed: a gradient is a sum over the vocabulary, √1000·2⁻²⁴ = 2e-6 of the largest; in bf16 also half a
/// unit of what is rounded in an element.
double gradient_error(const Tensor& got, const Result& want, bool f32) {
  const double small = 3e-6 * std::fmax(check::largest(want.d_x), 1e-30);  // one word has no gradient
  double worst = 0;
  for (size_t i = 0; i < want.d_x.size(); ++i)
    worst = book::worse(worst, std::fabs(got[i] - want.d_x[i]) / ((f32 ? 0 : check::bf16_unit * want.roundings[i]) + small));
  return worst;
}
}  // namespace

CASE("linear_cross_entropy: losses, hits and gradients, in place, over awkward shapes") {
  for (auto [M, V, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {1, 7, 31}, {3, 33, 33}, {31, 263, 64}, {67, 1000, 48}}) {
    const Inputs in(M, V, K);
    const std::vector<float> scales = scales_of(M);
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, in.x), losses(true, in.M), again(true, in.M);
          check::Guarded correct(static_cast<size_t>(in.M));
          backend.linear_cross_entropy(in.M, x.data(), in.matrix, divider, in.targets, {}, again.floats(), nullptr, nullptr);
          backend.linear_cross_entropy(in.M, x.data(), in.matrix, divider, in.targets, scales, losses.floats(), correct.data<uint8_t>(),
                                       x.data());
          CHECK(again == losses);
          CHECK(correct.intact());
          const Result want = book_result(in, f32);
          for (int64_t m = 0; m < in.M; ++m) CHECK(correct.data<uint8_t>()[m] == want.correct[static_cast<size_t>(m)]);
          return std::vector<Numbers>{losses, x};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          const Result want = book_result(in, f32);
          CHECK_LE(check::scaled_error(got[0].values(), want.losses), 2e-6);
          CHECK_LE(gradient_error(got[1].values(), want, f32), 1);
        });
  }
}

CASE("linear_cross_entropy: a row's bits do not depend on the chunk it falls in") {
  const int64_t V = 70'000, K = 4, M = 300;  // chunks of 150 rows; blocks of the vocabulary that end in an odd one
  const Inputs in(M, V, K);
  const std::vector<float> scales = scales_of(M);
  for (Compute compute : {Compute::f32, Compute::bf16}) {
    const bool f32 = compute == Compute::f32;
    CpuBackend backend(compute, 2, detect_isa());
    Numbers x(f32, in.x), losses(true, M), d_x(f32, M * K);
    backend.linear_cross_entropy(M, x.data(), in.matrix, divider, in.targets, scales, losses.floats(), nullptr, d_x.data());
    const size_t planned = backend.needs({M, M, V, 1, 1}).loss;
    CHECK(backend.scratch_bytes() < planned + (size_t{2} << 20));
    CHECK(planned < static_cast<size_t>(M / 2 * V * (f32 ? 5 : 3)));
    for (int64_t m : {0, 149, 150, 299}) {
      Numbers one(f32, Tensor(in.x.begin() + m * K, in.x.begin() + (m + 1) * K)), loss(true, 1), d_one(f32, K);
      backend.linear_cross_entropy(1, one.data(), in.matrix, divider, std::span(in.targets).subspan(static_cast<size_t>(m), 1),
                                   std::span(scales).subspan(static_cast<size_t>(m), 1), loss.floats(), nullptr, d_one.data());
      CHECK(losses.holds(m, loss));
      CHECK(d_x.holds(m * K, d_one));
    }
  }
}

CASE("linear_cross_entropy: of equal logits the first is the argmax; NaN reaches the loss") {
  Inputs in(3, 40, 2);
  for (int64_t v = 0; v < 40; ++v)
    for (int64_t k = 0; k < 2; ++k) reinterpret_cast<bf16*>(in.matrix.data.data())[v * 2 + k] = to_bf16(v == 5 || v == 9 ? 1.0f : 0.0f);
  in.targets = {5, 9, 5};
  for (Isa isa : check::levels()) {
    CpuBackend backend(Compute::f32, 1, isa);
    const float scales[3] = {1, 1, 1};
    float x[6] = {1, 1, 1, 1, NAN, 1}, losses[3];
    uint8_t correct[3];
    backend.linear_cross_entropy(3, x, in.matrix, 1, in.targets, scales, losses, correct, x);
    CHECK(correct[0] == 1 && correct[1] == 0);
    CHECK(std::isfinite(losses[1]) && std::isnan(losses[2]) && std::isnan(x[4]));
  }
}

CASE("head_logits") {
  const Inputs in(5, 263, 33);
  check::each_backend(
      [&](CpuBackend& backend, bool f32) {
        Numbers x(f32, in.x), logits(true, in.M * in.V);
        backend.head_logits(in.M, x.data(), in.matrix, divider, logits.floats());
        return std::vector<Numbers>{logits};
      },
      [&](std::vector<Numbers>& got, bool f32) {
        const Tensor x = Numbers(f32, in.x).values();
        Tensor want(static_cast<size_t>(in.M * in.V));
        ref::head_logits<double>(in.M, in.V, in.K, x.data(), in.head.data(), divider, want.data());
        CHECK_LE(check::scaled_error(got[0].values(), want), 2e-6);
      });
}

CASE("cross_entropy runs the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::softmax_block);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::softmax_block);
  CHECK_OWN_KERNEL(softmax_join);
  CHECK_OWN_KERNEL(TypedKernels<float>::softmax_scale);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::softmax_scale);
}

CASE("canary: another divider is found") {
  const Inputs in(3, 33, 33);
  CpuBackend backend(Compute::bf16, 1, detect_isa());
  Numbers x(false, in.x), losses(true, in.M);
  backend.linear_cross_entropy(in.M, x.data(), in.matrix, divider, in.targets, scales_of(in.M), losses.floats(), nullptr, x.data());
  CHECK(!(check::scaled_error(losses.values(), book_result(in, false, 2.01).losses) <= 2e-6));
  CHECK(gradient_error(x.values(), book_result(in, false), false) <= 1);
  CHECK(!(gradient_error(x.values(), book_result(in, false, 2.2), false) <= 1));
}

TEST_MAIN()
