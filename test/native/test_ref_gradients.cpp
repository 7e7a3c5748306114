/// Every backward of the book is the derivative of its forward: along random directions, against random cotangents, in double.
#include "book_check.h"
#include "harness.h"
#include "ref/attention_ref.h"
#include "ref/cross_entropy_ref.h"
#include "ref/glu_ref.h"
#include "ref/layer_norm_ref.h"
#include "ref/lora_linear_ref.h"
#include "ref/optimizer_ref.h"
#include "ref/rms_norm_ref.h"
#include "ref/rope_ref.h"

using namespace fedlora;
using book::direction_error;
using book::dot;
using Tensor = std::vector<double>;

namespace {
constexpr double tolerance = 1e-7;

double rms_norm_error(double spoil) {
  const int64_t M = 3, K = 7;
  book::Random random(1);
  const Tensor x = random.normals(M * K), weight = random.normals(K), cotangent = random.normals(M * K);
  Tensor y(x.size()), rstd(M), d_x(x.size());
  const auto value = [&](const Tensor& at) {
    Tensor copy = at;
    ref::rms_norm_forward<double>(M, K, copy.data(), nullptr, weight.data(), 1e-5, y.data(), rstd.data());
    return dot(y, cotangent);
  };
  value(x);
  ref::rms_norm_backward<double>(M, K, cotangent.data(), x.data(), rstd.data(), weight.data(), d_x.data());
  d_x[0] += spoil;
  return direction_error(value, x, d_x, 2);
}
}  // namespace

CASE("rms_norm") {
  CHECK_LE(rms_norm_error(0), tolerance);
  const Tensor ones(4, 1.0);
  Tensor x{1, 2, 3, 4}, y(4), rstd(1);
  const Tensor delta{1, 0, -1, 0};
  ref::rms_norm_forward<double>(1, 4, x.data(), delta.data(), ones.data(), 0, y.data(), rstd.data());
  CHECK_LE(std::fabs(rstd[0] - 1 / std::sqrt((4.0 + 4 + 4 + 16) / 4)), 1e-15);
  CHECK(x[0] == 2 && x[2] == 2);
}

CASE("rope turns and turns back") {
  const int64_t M = 4;
  book::Random random(3);
  Tensor cosine, sine;
  ref::rope_tables(10, ref::rope_frequencies(6, 10000), cosine, sine);
  const std::vector<int32_t> positions{0, 3, 9, 1};
  const Tensor x = random.normals(M * 2 * 6), cotangent = random.normals(M * 2 * 6);
  const auto turned = [&](Tensor at, bool inverse) {
    ref::rope<double>(M, 2, 6, positions, cosine.data(), sine.data(), inverse, at.data());
    return at;
  };
  CHECK_LE(direction_error([&](const Tensor& at) { return dot(turned(at, false), cotangent); }, x, turned(cotangent, true), 4), tolerance);
  const Tensor back = turned(turned(x, false), true);
  for (size_t i = 0; i < x.size(); ++i) CHECK_LE(std::fabs(back[i] - x[i]), 1e-14);
}

CASE("llama3 scaling keeps short waves, slows long ones, blends between") {
  std::vector<float> frequencies{1.0f, 0.2f, 0.001f};  // 64 positions: 10.2, 2.04 and 0.01 turns
  ref::llama3_scale(frequencies, 8, 1, 4, 64);
  CHECK(frequencies[0] == 1.0f);
  const double smooth = (64 * 0.2 / (2 * 3.14159265358979) - 1) / 3;
  CHECK_LE(std::fabs(frequencies[1] - ((1 - smooth) * 0.2 / 8 + smooth * 0.2)), 1e-8);
  CHECK_LE(std::fabs(frequencies[2] - 0.001 / 8), 1e-10);
}

CASE("attention: grouped heads, packed sequences, with and without a window, a soft cap and slopes") {
  static constexpr float some[] = {0.5f, 0.25f, 0.7f, 0.1f};
  for (const auto& [window, soft_cap, slopes] : {std::tuple<int, float, const float*>{0, 0.0f, nullptr},
                                                 {3, 0.0f, nullptr},
                                                 {0, 1.5f, nullptr},
                                                 {3, 0.8f, nullptr},
                                                 {0, 0.0f, some},
                                                 {3, 0.8f, some}}) {
    const AttentionShape shape{4, 2, 5, 0.4f, window, soft_cap, slopes};
    const std::vector<int64_t> offsets{0, 1, 3, 10};
    const int64_t M = 10, q_count = M * 4 * 5, kv_count = M * 2 * 5;
    book::Random random(5);
    const Tensor q = random.normals(q_count), k = random.normals(kv_count), v = random.normals(kv_count),
                 cotangent = random.normals(q_count);
    Tensor d_q(q.size()), d_k(k.size()), d_v(v.size()), o(q.size());
    ref::attention_backward<double>(shape, offsets, q.data(), k.data(), v.data(), cotangent.data(), d_q.data(), d_k.data(), d_v.data());
    const auto value = [&](const Tensor& q_at, const Tensor& k_at, const Tensor& v_at) {
      ref::attention_forward<double>(shape, offsets, q_at.data(), k_at.data(), v_at.data(), o.data(), nullptr);
      return dot(o, cotangent);
    };
    CHECK_LE(direction_error([&](const Tensor& at) { return value(at, k, v); }, q, d_q, 6), tolerance);
    CHECK_LE(direction_error([&](const Tensor& at) { return value(q, at, v); }, k, d_k, 7), tolerance);
    CHECK_LE(direction_error([&](const Tensor& at) { return value(q, k, at); }, v, d_v, 8), tolerance);
    value(q, k, v);  // the first row of a sequence sees only itself
    for (int h = 0; h < 4; ++h)
      for (int d = 0; d < 5; ++d) CHECK_LE(std::fabs(o[(1 * 4 + h) * 5 + d] - v[(1 * 2 + h / 2) * 5 + d]), 1e-15);
  }
}

CASE("attention: slopes make nearer keys count more, by their distance and not by where a sequence begins") {
  const float slope = 0.5f;
  const AttentionShape shape{1, 1, 1, 1.0f, 0, 0, &slope};
  const std::vector<int64_t> offsets{0, 1, 4};
  const Tensor q{9, 0, 0, 0}, k{9, 9, 9, 9}, v{9, 0, 1, 0};
  Tensor o(4);
  ref::attention_forward<double>(shape, offsets, q.data(), k.data(), v.data(), o.data(), nullptr);
  CHECK_LE(std::fabs(o[3] - std::exp(-0.5) / (std::exp(-1) + std::exp(-0.5) + 1)), 1e-15);
}

CASE("attention: lse is the log of the summed exponentials") {
  const AttentionShape shape{1, 1, 2, 1.0f, 0};
  const std::vector<int64_t> offsets{0, 2};
  const Tensor q{1, 0, 2, 0}, k{1, 5, 3, 5}, v{1, 0, 0, 1};
  Tensor o(4), lse(2);
  ref::attention_forward<double>(shape, offsets, q.data(), k.data(), v.data(), o.data(), lse.data());
  CHECK_LE(std::fabs(lse[0] - 1), 1e-15);
  CHECK_LE(std::fabs(lse[1] - std::log(std::exp(2) + std::exp(6))), 1e-14);
  CHECK_LE(std::fabs(o[3] - 1 / (1 + std::exp(-4))), 1e-15);
}

CASE("glu") {
  book::Random random(9);
  const int64_t count = 50;
  const Tensor gate = random.normals(count, 2), up = random.normals(count), cotangent = random.normals(count);
  for (Activate kind : {Activate::silu, Activate::gelu_tanh, Activate::relu, Activate::gelu}) {
    Tensor h(count), d_gate(count), d_up(count);
    ref::glu_backward<double>(kind, count, gate.data(), up.data(), cotangent.data(), d_gate.data(), d_up.data());
    const auto value = [&](const Tensor& gate_at, const Tensor& up_at) {
      ref::glu_forward<double>(kind, count, gate_at.data(), up_at.data(), h.data());
      return dot(h, cotangent);
    };
    CHECK_LE(direction_error([&](const Tensor& at) { return value(at, up); }, gate, d_gate, 10), tolerance);
    CHECK_LE(direction_error([&](const Tensor& at) { return value(gate, at); }, up, d_up, 11), tolerance);
  }
  CHECK_LE(std::fabs(ref::activate(Activate::gelu_tanh, 1.0) - 0.8411919906082768), 1e-12);
  CHECK_LE(std::fabs(ref::activate(Activate::gelu, 1.0) - 0.8413447460685429), 1e-12);
  CHECK_LE(std::fabs(ref::activate(Activate::silu, 1.0) - 0.7310585786300049), 1e-12);
}

CASE("layer_norm") {
  const int64_t M = 4, K = 9;
  book::Random random(22);
  const Tensor x = random.normals(M * K), weight = random.normals(K), bias = random.normals(K), cotangent = random.normals(M * K);
  Tensor y(x.size()), moments(2 * M), d_x(x.size());
  const auto value = [&](const Tensor& at) {
    Tensor stream = at;
    ref::layer_norm_forward<double>(M, K, stream.data(), nullptr, weight.data(), bias.data(), 1e-5, y.data(), moments.data());
    return dot(y, cotangent);
  };
  value(x);
  ref::layer_norm_backward<double>(M, K, cotangent.data(), x.data(), moments.data(), weight.data(), d_x.data());
  CHECK_LE(direction_error(value, x, d_x, 23), tolerance);
  double mean = 0;
  for (int64_t k = 0; k < K; ++k) mean += (y[k] - bias[k]) / weight[k] / static_cast<double>(K);
  CHECK_LE(std::fabs(mean), 1e-13);
}

CASE("linear_cross_entropy") {
  const int64_t M = 3, V = 11, K = 5;
  book::Random random(12);
  const Tensor x = random.normals(M * K), W = random.normals(V * K);
  const std::vector<int32_t> targets{0, 10, 4};
  Tensor losses(M), d_x(x.size());
  std::vector<uint8_t> correct(M);
  for (const LogitShape& shape : {LogitShape(2), LogitShape(2, 1.5f)}) {
    const auto value = [&](const Tensor& at) {
      ref::linear_cross_entropy<double>(M, V, K, at.data(), W.data(), shape, targets, 0.3, losses.data(), correct.data(), nullptr);
      return 0.3 * (losses[0] + losses[1] + losses[2]);
    };
    ref::linear_cross_entropy<double>(M, V, K, x.data(), W.data(), shape, targets, 0.3, losses.data(), nullptr, d_x.data());
    CHECK_LE(direction_error(value, x, d_x, 13), tolerance);
  }
}

CASE("lora_linear: two segments, dropout, frozen factors, rows without an adapter") {
  const int64_t M = 9, N = 6, K = 7, R = 3;
  book::Random random(14);
  const Tensor x = random.normals(M * K), W = random.normals(N * K), bias = random.normals(N), cotangent = random.normals(M * N);
  std::vector<Tensor> A{random.normals(R * K), random.normals(2 * K)}, B{random.normals(N * R), random.normals(N * 2)},
      d_A{Tensor(R * K), Tensor(2 * K)}, d_B{Tensor(N * R), Tensor(N * 2)};
  const Tensor A_res = random.normals(4 * K), B_res = random.normals(N * 4);
  std::vector<ref::Adapter<double>> adapters(2);
  for (size_t i = 0; i < 2; ++i) {
    adapters[i] = {i == 0 ? 0 : 5, i == 0 ? 4 : 9, i == 0 ? 3 : 2,       0.7, A[i].data(), B[i].data(),
                   d_A[i].data(),  d_B[i].data(),  i == 0 ? 0.0f : 0.4f, 99,  5,           i == 0 ? 0 : 4,
                   A_res.data(),   B_res.data()};
  }
  Tensor h(M * R), y(M * N), d_x(x.size());
  const auto value = [&](const Tensor& at) {
    ref::lora_linear_forward<double>(M, N, K, at.data(), W.data(), bias.data(), adapters, h.data(), R, y.data());
    return dot(y, cotangent);
  };
  value(x);
  ref::lora_linear_backward<double>(M, N, K, x.data(), W.data(), adapters, h.data(), R, cotangent.data(), d_x.data());
  CHECK_LE(direction_error(value, x, d_x, 15), tolerance);
  for (size_t i = 0; i < 2; ++i) {
    const auto with = [&](const double*& place, const Tensor& at) {
      const double* before = place;
      place = at.data();
      const double result = value(x);
      place = before;
      return result;
    };
    CHECK_LE(direction_error([&](const Tensor& at) { return with(adapters[i].A, at); }, A[i], d_A[i], 16), tolerance);
    CHECK_LE(direction_error([&](const Tensor& at) { return with(adapters[i].B, at); }, B[i], d_B[i], 17), tolerance);
  }
  value(x);  // row 6, column 1 by hand
  double sum = bias[1], residual = 0, trained = 0;
  for (int64_t k = 0; k < K; ++k) sum += x[6 * K + k] * W[K + k];
  for (int64_t r = 0; r < 2; ++r) trained += h[6 * R + r] * B[1][2 + r];
  for (int64_t p = 0; p < 4; ++p)
    for (int64_t k = 0; k < K; ++k) residual += B_res[4 + p] * A_res[p * K + k] * x[6 * K + k];
  CHECK_LE(std::fabs(y[6 * N + 1] - (sum + 0.7 * trained + 0.7 * residual)), 1e-13);
  double base = bias[2];  // row 4 has no adapter
  for (int64_t k = 0; k < K; ++k) base += x[4 * K + k] * W[2 * K + k];
  CHECK_LE(std::fabs(y[4 * N + 2] - base), 1e-13);
}

CASE("dropout keeps the expected share and its mean") {
  int64_t kept = 0;
  for (uint64_t index = 0; index < 100'000; ++index) kept += ref::dropout_factor(0.25f, 1, 2, index) != 0;
  CHECK_LE(std::fabs(static_cast<double>(kept) / 100'000 - 0.75), 0.01);
  CHECK(ref::dropout_factor(0.0f, 1, 2, 3) == 1);
}

CASE("adamw and sgd against steps by hand") {
  // One AdamW step from zero moments moves by lr·sign(g) after the decay, whatever the size of g.
  Tensor p{1.0}, g{0.5}, m{0.0}, v{0.0};
  ref::adamw<double>({0.1f, 0.9f, 0.999f, 0.0f, 0.5f, 1, 2.0f}, 1, p.data(), g.data(), m.data(), v.data());
  CHECK_LE(std::fabs(p[0] - (1.0 * (1 - 0.1 * 0.5) - 0.1)), 1e-7);
  CHECK_LE(std::fabs(m[0] - 0.1), 1e-7);
  CHECK_LE(std::fabs(v[0] - 0.001), 2e-8);
  CHECK(g[0] == 0);
  Tensor w{1.0}, d{0.5}, b{7.0};
  ref::sgd<double>(0.1, 0.9, 0.2, 1, true, 1, w.data(), d.data(), b.data());
  CHECK_LE(std::fabs(w[0] - (1 - 0.1 * 0.7)), 1e-15);
  d[0] = 1;
  ref::sgd<double>(0.1, 0.9, 0, 1, false, 1, w.data(), d.data(), b.data());
  CHECK_LE(std::fabs(b[0] - (0.9 * 0.7 + 1)), 1e-15);
}

CASE("canary: a gradient that is wrong in one element is found") { CHECK(!(rms_norm_error(1e-4) <= tolerance)); }

TEST_MAIN()
