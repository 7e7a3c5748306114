/// embedding_forward, gather_rows and scatter_rows of the CPU backend: exact.
#include <algorithm>

#include "backend_check.h"
#include "ref/embedding_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
/// A table whose numbers are exact in f16 and bf16, and the same as doubles.
Matrix table_of(Format format, int64_t V, int64_t K, Tensor& values) {
  Matrix table;
  table.format = format, table.N = V, table.K = K;
  table.data = AlignedBuffer<uint8_t>(static_cast<size_t>(V * K) * (format == Format::f32 ? 4 : 2));
  book::Random random(5);
  for (int64_t i = 0; i < V * K; ++i) {
    const float value = to_f32(to_f16(to_f32(to_bf16(static_cast<float>(random.normal())))));
    values.push_back(value);
    if (format == Format::f32) reinterpret_cast<float*>(table.data.data())[i] = value;
    if (format == Format::f16) reinterpret_cast<f16*>(table.data.data())[i] = to_f16(value);
    if (format == Format::bf16) reinterpret_cast<bf16*>(table.data.data())[i] = to_bf16(value);
  }
  return table;
}
}  // namespace

CASE("embedding_forward picks rows of every plain format") {
  for (auto [M, K] : {std::pair<int64_t, int64_t>{1, 1}, {7, 31}, {65, 33}, {100, 576}})
    for (Format format : {Format::f32, Format::f16, Format::bf16}) {
      Tensor values;
      const Matrix table = table_of(format, 50, K, values);
      book::Random random(6);
      std::vector<int32_t> ids;
      for (int64_t m = 0; m < M; ++m) ids.push_back(static_cast<int32_t>(random.below(50)));
      check::each_backend(
          [&](CpuBackend& backend, bool) {
            Numbers x(true, M * K);
            backend.embedding_forward(ids, table, 1.5f, x.floats());
            return std::vector<Numbers>{x};
          },
          [&](std::vector<Numbers>& got, bool) {
            Tensor want(static_cast<size_t>(M * K));
            ref::embedding_forward<double>(ids, K, values.data(), 1.5, want.data());
            CHECK_LE(check::scaled_error(got[0].values(), want), 6e-8);
          });
    }
}

CASE("gather_rows and scatter_rows move rows and zero the rest") {
  for (int64_t K : {1, 7, 33, 1000}) {
    const int64_t M = 40;
    book::Random random(7);
    const Tensor values = random.normals(M * K);
    const std::vector<int32_t> rows{3, 0, 39, 17, 4};
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, values), picked(f32, 5 * K), back(f32, M * K);
          backend.gather_rows(K, rows, x.data(), picked.data());
          backend.scatter_rows(M, K, rows, picked.data(), back.data());
          return std::vector<Numbers>{picked, back};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          const Tensor x = Numbers(f32, values).values(), picked = got[0].values(), back = got[1].values();
          Tensor want(x.size());
          for (size_t i = 0; i < rows.size(); ++i)
            for (int64_t k = 0; k < K; ++k) {
              CHECK(picked[i * static_cast<size_t>(K) + static_cast<size_t>(k)] == x[static_cast<size_t>(rows[i] * K + k)]);
              want[static_cast<size_t>(rows[i] * K + k)] = x[static_cast<size_t>(rows[i] * K + k)];
            }
          CHECK(back == want);
        });
  }
}

CASE("copy and zero write exactly what they are asked to, to the bit") {
  for (const int64_t count : {1, 7, 64, 1000}) {
    book::Random random(8);
    CpuBackend backend(Compute::f32, 1, detect_isa());
    const std::vector<float> from = random.normals<float>(count + 1);
    std::vector<float> to(from.size(), 5), cleared(from.size(), 5);
    backend.copy(count, from.data(), to.data());
    backend.zero(count, cleared.data());
    const size_t size = static_cast<size_t>(count);
    CHECK(std::equal(from.begin(), from.begin() + count, to.begin()) && to[size] == 5);
    CHECK(std::count(cleared.begin(), cleared.begin() + count, 0.0f) == count && cleared[size] == 5);
  }
}

CASE("embedding_forward runs the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::scale_row);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::scale_row);
}

CASE("canary: the multiplier counts") {
  Tensor values;
  const Matrix table = table_of(Format::f32, 5, 3, values);
  CpuBackend backend(Compute::f32, 1, detect_isa());
  const int32_t id = 2;
  Numbers x(true, 3);
  backend.embedding_forward({&id, 1}, table, 2, x.floats());
  CHECK(!(check::scaled_error(x.values(), Tensor(values.begin() + 6, values.begin() + 9)) <= 0.5));
}

TEST_MAIN()
