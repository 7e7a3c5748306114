/// lora_linear_decode and head_logits_decode of the CPU backend against the book.
#include "backend_check.h"
#include "quant/encode.h"
#include "ref/lora_linear_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
Matrix packed(Format format, int64_t N, int64_t K, int block, bool nested) {
  book::Random random(5);
  const std::vector<float> values = random.normals<float>(N * K, 0.05);
  const TensorView view{DType::f32, {N, K}, values.data(), values.size() * sizeof(float)};
  ThreadPool pool(1);
  return encode_matrix(format, view, block, nested, pool);
}
Tensor plain(const Matrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.elements()));
  decode(matrix, 0, matrix.elements(), values.data());
  return Tensor(values.begin(), values.end());
}

struct Case {
  Format format;
  int64_t K;
  std::vector<int64_t> N;
  int block = 64;
  bool nested = false;
  int rank = 0;  // of the first target; the second has about half of it, the others none

  int frozen = 0;  // rank of the frozen factors of every target with a pair

  int rank_of(size_t target) const { return target == 0 ? rank : target == 1 ? (rank + 1) / 2 : 0; }
  /// Where a target's rows begin in A: the second has the last ones.
  int64_t A_at(size_t target) const { return target == 1 ? (rank - rank_of(1)) * K : 0; }
};

/// The targets' outputs, one after another.
Tensor book_y(const Case& c, const std::vector<Matrix>& weights, const Tensor& x, const Tensor& bias, const std::vector<float>& A,
              const std::vector<float>& B, double scaling) {
  Tensor all;
  for (size_t t = 0; t < c.N.size(); ++t) {
    const Tensor W = plain(weights[t]), a(A.begin(), A.end()), b(B.begin(), B.end());
    Tensor y(static_cast<size_t>(c.N[t])), h(static_cast<size_t>(std::max(c.rank_of(t), 1)));
    ref::Adapter<double> adapter;
    adapter.row_end = 1;
    adapter.rank = c.rank_of(t);
    adapter.scaling = scaling;
    adapter.A = a.data() + c.A_at(t), adapter.B = b.data();
    // The frozen factors are the pair's own numbers read from their ends on.
    const Tensor A_res(a.rbegin(), a.rend()), B_res(b.rbegin(), b.rend());
    adapter.frozen_rank = c.frozen, adapter.A_res = A_res.data(), adapter.B_res = B_res.data();
    ref::lora_linear_forward<double>(1, c.N[t], c.K, x.data(), W.data(), t == 0 ? bias.data() : nullptr,
                                     {&adapter, c.rank_of(t) > 0 ? 1u : 0u}, h.data(), c.rank_of(t), y.data());
    all.insert(all.end(), y.begin(), y.end());
  }
  return all;
}
constexpr double scaling = 1.5;
}  // namespace

CASE("lora_linear_decode: every format, rows that are no whole groups of codes, blocks that cross rows, several targets") {
  for (const Case& c :
       {Case{Format::nf4, 64, {5}}, Case{Format::nf4, 576, {70, 33, 1}, 64, true, 16}, Case{Format::nf4, 192, {40}, 128, true, 3},
        Case{Format::fp4, 320, {129}, 128, false, 8}, Case{Format::nf4, 33, {31, 2}, 64, false, 5}, Case{Format::fp4, 2100, {9}},
        Case{Format::int8, 1111, {40, 40}, 0, false, 4}, Case{Format::bf16, 1030, {65}, 0, false, 4},
        Case{Format::f16, 47, {3, 300}, 0, false, 1}, Case{Format::f32, 129, {35}}, Case{Format::nf4, 192, {70, 33, 8}, 64, false, 40, 37},
        Case{Format::bf16, 65, {20, 9}, 0, false, 5, 1}}) {
    book::Random random(6);
    std::vector<Matrix> weights;
    for (int64_t N : c.N) weights.push_back(packed(c.format, N, c.K, c.block, c.nested));
    const Tensor row = random.normals(c.K), bias = random.normals(c.N[0]);
    const std::vector<float> biases(bias.begin(), bias.end()),
        A = random.normals<float>(c.rank * c.K), B = random.normals<float>(c.rank * *std::max_element(c.N.begin(), c.N.end()));
    const std::vector<float> A_res(A.rbegin(), A.rend()), B_res(B.rbegin(), B.rend());
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, row);
          std::vector<Numbers> y;
          std::vector<LinearTarget> targets;
          std::vector<LoraPair> pairs;
          for (int64_t N : c.N) y.emplace_back(f32, N);
          for (size_t t = 0; t < c.N.size(); ++t) {
            targets.push_back({&weights[t], t == 0 ? biases.data() : nullptr, y[t].data(), nullptr, 0, nullptr});
            LoraPair& pair = pairs.emplace_back();
            if (c.rank_of(t) > 0)
              pair.rank = c.rank_of(t), pair.scaling = static_cast<float>(scaling), pair.A = A.data() + c.A_at(t), pair.B = B.data();
            if (c.rank_of(t) > 0 && c.frozen > 0) pair.frozen = {c.frozen, A_res.data(), B_res.data()};
          }
          backend.lora_linear_decode(x.data(), targets, pairs);
          return y;
        },
        [&](std::vector<Numbers>& got, bool f32) {
          Tensor all;
          for (Numbers& one : got) {
            const Tensor values = one.values();
            all.insert(all.end(), values.begin(), values.end());
          }
          const Tensor want = book_y(c, weights, Numbers(f32, row).values(), bias, A, B, scaling);
          CHECK_LE(check::scaled_error(all, want), check::rounding(f32));
          // Canaries: another bias; another scaling, where there is something to scale.
          Tensor other = bias;
          other[0] += 0.1 * check::largest(want);
          CHECK(!(check::scaled_error(all, book_y(c, weights, Numbers(f32, row).values(), other, A, B, scaling)) <= check::rounding(f32)));
          const double scaled = check::scaled_error(all, book_y(c, weights, Numbers(f32, row).values(), bias, A, B, 1.1 * scaling));
          CHECK(c.rank == 0 ? scaled == check::scaled_error(all, want) : !(scaled <= check::rounding(f32)));
        });
  }
}

CASE("lora_linear_decode without adapters") {
  const Matrix W = packed(Format::nf4, 50, 128, 64, false);
  book::Random random(7);
  const Tensor row = random.normals(128);
  check::each_backend(
      [&](CpuBackend& backend, bool f32) {
        Numbers x(f32, row), y(f32, 50);
        const LinearTarget target{&W, nullptr, y.data(), nullptr, 0, nullptr};
        backend.lora_linear_decode(x.data(), {&target, 1}, {});
        return std::vector<Numbers>{y};
      },
      [&](std::vector<Numbers>& got, bool f32) {
        Tensor y(50);
        const Tensor x = Numbers(f32, row).values(), dense = plain(W);
        ref::lora_linear_forward<double>(1, 50, 128, x.data(), dense.data(), nullptr, {}, nullptr, 0, y.data());
        CHECK_LE(check::scaled_error(got[0].values(), y), check::rounding(f32));
      });
}

CASE("head_logits_decode") {
  for (Format format : {Format::bf16, Format::nf4}) {
    const Matrix head = packed(format, 2500, 96, 64, false);
    book::Random random(8);
    const Tensor row = random.normals(96);
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, row), logits(true, 2500);
          backend.head_logits_decode(x.data(), head, 2.0f, logits.floats());
          return std::vector<Numbers>{logits};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          const Tensor x = Numbers(f32, row).values(), dense = plain(head);
          Tensor want(2500);
          ref::lora_linear_forward<double>(1, 2500, 96, x.data(), dense.data(), nullptr, {}, nullptr, 0, want.data());
          for (double& logit : want) logit /= 2;
          CHECK_LE(check::scaled_error(got[0].values(), want), 2e-6);
        });
  }
}

CASE("decoding runs the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(matvec);
  CHECK_OWN_KERNEL(order_for_codes);
}

TEST_MAIN()
