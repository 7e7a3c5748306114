/// Soft caps of the CPU backend against the book: attention forward, backward and decode, logits, and the loss with its gradient.
#include "backend_check.h"
#include "ref/attention_ref.h"
#include "ref/cross_entropy_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {

/// Relative norms. f32: sums of up to 200 terms and scores near the cap, √200·2⁻²⁴·cap; bf16: p, d_s, o and the gradients are each rounded
/// once, and errors of o come back through δ.
double bound(bool f32) { return f32 ? 1e-5 : 3 * check::bf16_unit; }

double norm_error(const Tensor& got, const Tensor& want) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) difference += (got[i] - want[i]) * (got[i] - want[i]), norm += want[i] * want[i];
  return std::sqrt(difference / (norm + 1e-12));
}

struct Inputs {
  AttentionShape shape;
  std::vector<int64_t> offsets;
  Tensor q, k, v, d_o;
  Inputs(const AttentionShape& shape, std::vector<int64_t> offsets, double spread) : shape(shape), offsets(std::move(offsets)) {
    book::Random random(21);
    const int64_t M = rows();
    q = random.normals(M * shape.heads * shape.head_dim, spread), d_o = random.normals(M * shape.heads * shape.head_dim);
    k = random.normals(M * shape.kv_heads * shape.head_dim), v = random.normals(M * shape.kv_heads * shape.head_dim);
  }
  int64_t rows() const { return offsets.back(); }
};

std::vector<Numbers> attend(CpuBackend& backend, bool f32, const Inputs& in) {
  Numbers q(f32, in.q), k(f32, in.k), v(f32, in.v), d_o(f32, in.d_o);
  const auto count = [](const Tensor& x) { return static_cast<int64_t>(x.size()); };
  Numbers o(f32, count(in.q)), lse(true, 2 * in.rows() * in.shape.heads), d_q(f32, count(in.q)), d_k(f32, count(in.k)),
      d_v(f32, count(in.v));
  backend.attention_forward(in.shape, in.offsets, q.data(), k.data(), v.data(), o.data(), lse.floats());
  backend.attention_backward(in.shape, in.offsets, q.data(), k.data(), v.data(), o.data(), lse.floats(), d_o.data(), d_q.data(), d_k.data(),
                             d_v.data());
  return {o, d_q, d_k, d_v};
}

std::vector<Tensor> book_attend(const Inputs& in, bool f32) {
  const Tensor q = Numbers(f32, in.q).values(), k = Numbers(f32, in.k).values(), v = Numbers(f32, in.v).values(),
               d_o = Numbers(f32, in.d_o).values();
  Tensor o(q.size()), d_q(q.size()), d_k(k.size()), d_v(v.size());
  ref::attention_forward<double>(in.shape, in.offsets, q.data(), k.data(), v.data(), o.data(), nullptr);
  ref::attention_backward<double>(in.shape, in.offsets, q.data(), k.data(), v.data(), d_o.data(), d_q.data(), d_k.data(), d_v.data());
  return {o, d_q, d_k, d_v};
}

struct Head {
  int64_t M, V, K;
  Tensor x, values;  // exact in bf16
  Matrix matrix;
  std::vector<int32_t> targets;
  std::vector<float> scales;
  Head(int64_t M, int64_t V, int64_t K) : M(M), V(V), K(K) {
    book::Random random(22);
    x = random.normals(M * K);
    matrix.format = Format::f32, matrix.N = V, matrix.K = K;
    matrix.data = AlignedBuffer<uint8_t>(static_cast<size_t>(V * K) * 4);
    for (int64_t i = 0; i < V * K; ++i)
      values.push_back(reinterpret_cast<float*>(matrix.data.data())[i] = to_f32(to_bf16(static_cast<float>(random.normal()))));
    for (int64_t m = 0; m < M; ++m) targets.push_back(static_cast<int32_t>(random.below(static_cast<uint32_t>(V)))), scales.push_back(0.5f);
  }
};
const LogitShape capped{0.5f, 5.0f};  // logits of several units: near the cap and far from it

}  // namespace

CASE("attention: capped scores, forward and backward, packed rows, grouped heads, windows, over blocks") {
  const std::tuple<int, int, int, int, std::vector<int64_t>> shapes[] = {
      {1, 1, 2, 0, {0, 1}}, {4, 2, 48, 0, {0, 3, 40, 41}}, {2, 1, 32, 9, {0, 70, 100}}, {3, 1, 33, 0, {0, 200}}, {2, 2, 16, 70, {0, 150}}};
  for (const auto& [H, G, D, window, offsets] : shapes)
    for (const float cap : {1.5f, 50.0f}) {
      const Inputs in({H, G, D, 1.0f / std::sqrt(static_cast<float>(D)), window, cap}, offsets, 4);
      check::each_backend([&](CpuBackend& backend, bool f32) { return attend(backend, f32, in); },
                          [&](std::vector<Numbers>& got, bool f32) {
                            const std::vector<Tensor> want = book_attend(in, f32);
                            for (size_t i = 0; i < want.size(); ++i) CHECK_LE(norm_error(got[i].values(), want[i]), bound(f32));
                          });
    }
}

CASE("attention_decode: capped scores of one row") {
  for (const int window : {0, 7})
    for (const int64_t T : {1, 9, 100}) {
      const Inputs in({4, 2, 40, 0.3f, window, 2.5f}, {0, T}, 4);
      const int64_t width = 4 * 40, last = (T - 1) * width;
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers q(f32, Tensor(in.q.begin() + last, in.q.end())), k(f32, in.k), v(f32, in.v), o(f32, width);
            backend.attention_decode(in.shape, T, q.data(), k.data(), v.data(), o.data());
            return std::vector<Numbers>{o};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            const Tensor all = book_attend(in, f32)[0];
            CHECK_LE(norm_error(got[0].values(), Tensor(all.begin() + last, all.end())), bound(f32));
          });
    }
}

CASE("head_logits and head_logits_decode: capped") {
  const Head in(3, 263, 33);
  check::each_backend(
      [&](CpuBackend& backend, bool f32) {
        Numbers x(f32, in.x), first(f32, Tensor(in.x.begin(), in.x.begin() + in.K)), all(true, in.M * in.V), one(true, in.V);
        backend.head_logits(in.M, x.data(), in.matrix, capped, all.floats());
        backend.head_logits_decode(first.data(), in.matrix, capped, one.floats());
        return std::vector<Numbers>{all, one};
      },
      [&](std::vector<Numbers>& got, bool f32) {
        const Tensor x = Numbers(f32, in.x).values();
        Tensor want(static_cast<size_t>(in.M * in.V));
        ref::head_logits<double>(in.M, in.V, in.K, x.data(), in.values.data(), capped, want.data());
        CHECK_LE(check::scaled_error(got[0].values(), want), 2e-6);
        CHECK_LE(check::scaled_error(got[1].values(), Tensor(want.begin(), want.begin() + in.V)), 2e-6);
      });
}

CASE("linear_cross_entropy: capped, losses and gradients, blocks of the vocabulary that end anywhere") {
  for (const auto& [M, V, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {3, 33, 33}, {9, 300, 16}}) {
    const Head in(M, V, K);
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, in.x), losses(true, in.M), again(true, in.M), d_x(f32, in.M * in.K);
          backend.linear_cross_entropy(in.M, x.data(), in.matrix, capped, in.targets, {}, again.floats(), nullptr, nullptr);
          backend.linear_cross_entropy(in.M, x.data(), in.matrix, capped, in.targets, in.scales, losses.floats(), nullptr, d_x.data());
          CHECK(again == losses);
          return std::vector<Numbers>{losses, d_x};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          const Tensor x = Numbers(f32, in.x).values();
          Tensor losses(static_cast<size_t>(in.M)), d_x(x.size());
          ref::linear_cross_entropy<double>(in.M, in.V, in.K, x.data(), in.values.data(), capped, in.targets, 0.5, losses.data(), nullptr,
                                            d_x.data());
          CHECK_LE(check::scaled_error(got[0].values(), losses), 2e-6);
          CHECK_LE(norm_error(got[1].values(), d_x), bound(f32));
        });
  }
}

CASE("soft caps run the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(soft_cap);
  CHECK_OWN_KERNEL(TypedKernels<float>::soft_cap_slope);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::soft_cap_slope);
}

CASE("tanh: within 4 ulp everywhere, odd, and 1 far out") {
  for (const Isa isa : check::levels()) {
    double worst = 0;
    for (int i = -4000; i <= 4000; ++i) {
      const float x = static_cast<float>(i) * 0.0051f;
      float y = x;
      kernel_table(isa).soft_cap(1, 1.0f, &y);
      const double want = std::tanh(static_cast<double>(x));
      worst = book::worse(worst, want == 0 ? std::fabs(y) : std::fabs(y / want - 1));
    }
    CHECK_LE(worst, 4 * 5.97e-8);
    float far[] = {-200, 200, NAN};
    kernel_table(isa).soft_cap(3, 1.0f, far);
    CHECK(far[0] == -1 && far[1] == 1 && std::isnan(far[2]));
  }
}

CASE("canary: without the cap, or with the gradient of uncapped scores, it is found") {
  Inputs in({4, 2, 48, 0.2f, 0, 1.5f}, {0, 40}, 4);
  CpuBackend backend(Compute::f32, 1, detect_isa());
  const std::vector<Tensor> want = book_attend(in, true);
  in.shape.soft_cap = 0;
  std::vector<Numbers> plain = attend(backend, true, in);
  for (size_t i = 0; i < want.size(); ++i) CHECK(!(norm_error(plain[i].values(), want[i]) <= bound(true)));
}

TEST_MAIN()
