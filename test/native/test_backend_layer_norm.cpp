/// LayerNorm, activations without a gate, the exact gelu, added embeddings and the head's bias: CPU backend against the book.
#include "backend_check.h"
#include "ref/cross_entropy_ref.h"
#include "ref/glu_ref.h"
#include "ref/layer_norm_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
std::vector<float> narrow(const Tensor& x) { return {x.begin(), x.end()}; }
Tensor widen(const std::vector<float>& x) { return {x.begin(), x.end()}; }

struct Norm {
  int64_t M, K;
  Tensor x, delta, d_y, d_x;
  std::vector<float> weight, bias;
  Norm(int64_t M, int64_t K) : M(M), K(K) {
    book::Random random(41);
    x = random.normals(M * K, 2), delta = random.normals(M * K), d_y = random.normals(M * K), d_x = random.normals(M * K);
    for (double& value : x) value += 3;  // a mean worth taking away
    weight = narrow(random.normals(K)), bias = narrow(random.normals(K));
  }
};
constexpr float epsilon = 1e-5f;
}  // namespace

CASE("layer_norm: forward with and without a delta, rebuilt, and backward") {
  for (const auto& [M, K] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {5, 33}, {9, 128}, {40, 1000}})
    for (const bool with_delta : {true, false}) {
      const Norm in(M, K);
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers x(true, in.x), delta(f32, in.delta), y(f32, M * K), moments(true, 2 * M), saved(f32, M * K), again(f32, M * K);
            backend.layer_norm_forward(M, K, x.floats(), with_delta ? delta.data() : nullptr, in.weight.data(), in.bias.data(), epsilon,
                                       y.data(), moments.floats(), saved.data());
            backend.layer_norm_rebuild(M, K, saved.data(), moments.floats(), in.weight.data(), in.bias.data(), again.data());
            CHECK(!f32 || again == y);
            Numbers d_y(f32, in.d_y), d_x(true, in.d_x), copy(f32, M * K), alone(true, in.d_x);
            backend.layer_norm_backward(M, K, d_y.data(), saved.data(), moments.floats(), in.weight.data(), d_x.floats(), copy.data());
            backend.layer_norm_backward(M, K, d_y.data(), saved.data(), moments.floats(), in.weight.data(), alone.floats(), nullptr);
            CHECK(alone == d_x);
            return std::vector<Numbers>{x, y, moments, saved, d_x, copy};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            Tensor x = Numbers(true, in.x).values(), y(x.size()), moments(static_cast<size_t>(2 * M));
            const Tensor delta = Numbers(f32, in.delta).values(), weight = widen(in.weight), bias = widen(in.bias);
            ref::layer_norm_forward<double>(M, K, x.data(), with_delta ? delta.data() : nullptr, weight.data(), bias.data(), epsilon,
                                            y.data(), moments.data());
            CHECK_LE(check::scaled_error(got[0].values(), x), 1e-7);
            if (K > 1) {  // of one number the variance is what its sum rounds
              CHECK_LE(check::scaled_error(got[1].values(), y), check::rounding(f32, 1e-5));
              CHECK_LE(check::scaled_error(got[2].values(), moments), 1e-5);
            }
            CHECK(got[3] == Numbers(f32, got[0].values()));
            Tensor d_x = Numbers(true, in.d_x).values();
            const Tensor saved = got[3].values(), d_y = Numbers(f32, in.d_y).values(), own = got[2].values();
            ref::layer_norm_backward<double>(M, K, d_y.data(), saved.data(), own.data(), weight.data(), d_x.data());
            CHECK_LE(check::scaled_error(got[4].values(), d_x), 1e-5);
            CHECK(got[5] == Numbers(f32, got[4].values()));
          });
    }
}

CASE("activations without a gate, and gated by the exact gelu") {
  for (const Activate kind : {Activate::silu, Activate::gelu_tanh, Activate::relu, Activate::gelu})
    for (const int64_t count : {1, 7, 33, 20'000}) {
      book::Random random(42);
      const Tensor values = random.normals(count, 3), upstream = random.normals(count);
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers x(f32, values), d_y(f32, upstream), y(f32, count), d_x(f32, count), h(f32, count), d_up(f32, count),
                in_place(f32, values);
            backend.activate_forward(kind, count, x.data(), y.data());
            backend.activate_backward(kind, count, x.data(), d_y.data(), d_x.data());
            backend.activate_backward(kind, count, in_place.data(), d_y.data(), in_place.data());
            CHECK(in_place == d_x);
            Numbers gate(f32, values);
            backend.glu_forward(kind, count, x.data(), d_y.data(), h.data());
            backend.glu_backward(kind, count, gate.data(), d_y.data(), d_y.data(), gate.data(), d_up.data(), nullptr);
            return std::vector<Numbers>{y, d_x, h, gate, d_up};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            const Tensor x = Numbers(f32, values).values(), d = Numbers(f32, upstream).values();
            std::vector<Tensor> want(5, Tensor(x.size()));
            for (size_t i = 0; i < x.size(); ++i) {
              const double value = ref::activate(kind, x[i]), slope = ref::activate_derivative(kind, x[i]);
              want[0][i] = value, want[1][i] = d[i] * slope, want[2][i] = value * d[i], want[3][i] = d[i] * d[i] * slope,
              want[4][i] = d[i] * value;
            }
            for (size_t i = 0; i < want.size(); ++i) CHECK_LE(check::scaled_error(got[i].values(), want[i]), check::rounding(f32));
          });
    }
}

CASE("the exact gelu: relative precision far below zero, where 1 + erf would be nothing") {
  for (const Isa isa : check::levels()) {
    double worst = 0;
    for (int i = -1200; i <= 1200; ++i) {
      const float x = static_cast<float>(i) * 0.01f;
      float y;
      of<float>(kernel_table(isa)).activate_forward(Activate::gelu, 1, &x, &y);
      const double want = ref::activate(Activate::gelu, x);
      // e^(−z²/2) errs by z²/2 times the rounding of its exponent.
      if (x != 0) worst = book::worse(worst, std::fabs(y / want - 1) / (1 + x * x / 2));
    }
    CHECK_LE(worst, 10 * 5.97e-8);
  }
}

CASE("embedding_add: onto what is there, from every plain format") {
  const int64_t V = 20, K = 33, M = 11;
  book::Random random(43);
  Tensor values;
  for (int64_t i = 0; i < V * K; ++i) values.push_back(to_f32(to_f16(to_f32(to_bf16(static_cast<float>(random.normal()))))));
  const Tensor stream = random.normals(M * K);
  std::vector<int32_t> ids;
  for (int64_t m = 0; m < M; ++m) ids.push_back(static_cast<int32_t>(random.below(static_cast<uint32_t>(V))));
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    Matrix table;
    table.format = format, table.N = V, table.K = K;
    table.data = AlignedBuffer<uint8_t>(static_cast<size_t>(V * K) * (format == Format::f32 ? 4 : 2));
    for (int64_t i = 0; i < V * K; ++i) {
      const float value = static_cast<float>(values[static_cast<size_t>(i)]);
      if (format == Format::f32) reinterpret_cast<float*>(table.data.data())[i] = value;
      if (format == Format::f16) reinterpret_cast<f16*>(table.data.data())[i] = to_f16(value);
      if (format == Format::bf16) reinterpret_cast<bf16*>(table.data.data())[i] = to_bf16(value);
    }
    check::each_backend(
        [&](CpuBackend& backend, bool) {
          Numbers x(true, stream);
          backend.embedding_add(ids, table, x.floats());
          return std::vector<Numbers>{x};
        },
        [&](std::vector<Numbers>& got, bool) {
          Tensor want = Numbers(true, stream).values();
          for (int64_t m = 0; m < M; ++m)
            for (int64_t k = 0; k < K; ++k)
              want[static_cast<size_t>(m * K + k)] = static_cast<float>(want[static_cast<size_t>(m * K + k)]) +
                                                     static_cast<float>(values[static_cast<size_t>(ids[static_cast<size_t>(m)] * K + k)]);
          CHECK(got[0].values() == want);
        });
  }
}

CASE("the head's bias: logits, one row, and the loss with its gradient; canary: without it they are others") {
  const int64_t M = 5, V = 300, K = 16;
  book::Random random(44);
  const Tensor rows = random.normals(M * K);
  Tensor values;
  Matrix head;
  head.format = Format::f32, head.N = V, head.K = K;
  head.data = AlignedBuffer<uint8_t>(static_cast<size_t>(V * K) * 4);
  for (int64_t i = 0; i < V * K; ++i)
    values.push_back(reinterpret_cast<float*>(head.data.data())[i] = to_f32(to_bf16(static_cast<float>(random.normal()))));
  const std::vector<float> bias = narrow(random.normals(V, 2)), scales(static_cast<size_t>(M), 0.5f);
  const LogitShape shape{2, 0, bias.data()};
  const std::vector<int32_t> targets{0, 299, 128, 127, 64};
  check::each_backend(
      [&](CpuBackend& backend, bool f32) {
        Numbers x(f32, rows), one(f32, Tensor(rows.begin(), rows.begin() + K)), all(true, M * V), row(true, V), losses(true, M),
            d_x(f32, M * K);
        backend.head_logits(M, x.data(), head, shape, all.floats());
        backend.head_logits_decode(one.data(), head, shape, row.floats());
        backend.linear_cross_entropy(M, x.data(), head, shape, targets, scales, losses.floats(), nullptr, d_x.data());
        return std::vector<Numbers>{all, row, losses, d_x};
      },
      [&](std::vector<Numbers>& got, bool f32) {
        const Tensor x = Numbers(f32, rows).values();
        for (const bool with : {true, false}) {
          const LogitShape taken = with ? shape : LogitShape(2);
          Tensor all(static_cast<size_t>(M * V)), losses(static_cast<size_t>(M)), d_x(x.size());
          ref::head_logits<double>(M, V, K, x.data(), values.data(), taken, all.data());
          ref::linear_cross_entropy<double>(M, V, K, x.data(), values.data(), taken, targets, 0.5, losses.data(), nullptr, d_x.data());
          CHECK((check::scaled_error(got[0].values(), all) <= 2e-6) == with);
          CHECK((check::scaled_error(got[1].values(), Tensor(all.begin(), all.begin() + V)) <= 2e-6) == with);
          CHECK((check::scaled_error(got[2].values(), losses) <= 2e-6) == with);
          CHECK((check::scaled_error(got[3].values(), d_x) <= (f32 ? 1e-5 : 4 * check::bf16_unit)) == with);
        }
      });
}

CASE("these run the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::layer_norm_forward);
  CHECK_OWN_KERNEL(TypedKernels<float>::layer_norm_rebuild);
  CHECK_OWN_KERNEL(TypedKernels<float>::layer_norm_backward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::layer_norm_forward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::layer_norm_rebuild);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::layer_norm_backward);
  CHECK_OWN_KERNEL(TypedKernels<float>::activate_forward);
  CHECK_OWN_KERNEL(TypedKernels<float>::activate_backward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::activate_forward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::activate_backward);
  CHECK_OWN_KERNEL(TypedKernels<float>::add_row);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::add_row);
}

TEST_MAIN()
