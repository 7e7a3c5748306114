// The kernels under the linear layers, at every instruction set of this machine: decoding (bit for bit), packing and multiplying, outer
// products; and the two products with one weight that the head uses.
#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/weight_view.h"
#include "draws.h"
#include "harness.h"
#include "quant/encode.h"

using namespace fedlora;

namespace {
std::vector<Isa> levels() {
  std::vector<Isa> all;
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) all.push_back(static_cast<Isa>(level));
  return all;
}
std::vector<float> normal(int64_t count, uint32_t seed, float scale = 1) { return draws::normals(static_cast<size_t>(count), seed, scale); }
Matrix make_matrix(Format format, int64_t N, int64_t K, int block = 64, bool nested = false) {
  static ThreadPool pool(1);
  const std::vector<float> values = normal(N * K, 5, 0.05f);
  return encode_matrix(format, {DType::f32, {N, K}, values.data(), values.size() * 4}, block, nested, pool);
}
std::vector<float> decoded(const Matrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.elements()));
  decode(matrix, 0, matrix.elements(), values.data());
  return values;
}

/// Calls the decode kernel of the matrix's format; T picks the output type.
template <class T>
void run_decode(const KernelTable& kernels, const Matrix& matrix, int64_t row, int64_t rows, int64_t column, int64_t count, T* out,
                int64_t stride) {
  const TypedKernels<T>& typed = of<T>(kernels);
  const auto kernel = is_4bit(matrix.format) ? typed.decode_4bit : matrix.format == Format::int8 ? typed.decode_int8 : typed.decode_plain;
  kernel(view_of(matrix), row, rows, column, count, out, stride);
}

/// Number of wrong elements, and of touched sentinels, over many ranges of the matrix.
int64_t wrong_elements(Isa isa, const Matrix& matrix, const std::vector<float>& want) {
  std::mt19937 random(9);
  int64_t wrong = 0;
  for (int trial = 0; trial < 60; ++trial) {
    const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint32_t>(n)); };
    const int64_t row = below(matrix.N), rows = 1 + below(std::min<int64_t>(matrix.N - row, 5)),
                  column = trial % 3 == 0 ? 0 : below(matrix.K);
    const int64_t count = trial % 2 == 0 ? matrix.K - column : below(matrix.K - column + 1), stride = count + 3;
    std::vector<float> floats(static_cast<size_t>(rows * stride), -7.0f);
    std::vector<bf16> halves(static_cast<size_t>(rows * stride), bf16{0x1234});
    run_decode(kernel_table(isa), matrix, row, rows, column, count, floats.data(), stride);
    run_decode(kernel_table(isa), matrix, row, rows, column, count, halves.data(), stride);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < stride; ++c) {
        const size_t at = static_cast<size_t>(r * stride + c);
        const float expected = c < count ? want[static_cast<size_t>((row + r) * matrix.K + column + c)] : 0;
        if (c < count)
          wrong += floats[at] != expected || halves[at].bits != to_bf16(expected).bits;
        else
          wrong += floats[at] != -7.0f || halves[at].bits != 0x1234;
      }
  }
  return wrong;
}

/// Σ over k in double, of operands rounded to the compute type.
std::vector<float> activation(std::vector<float> x, Compute compute, std::vector<uint8_t>& bytes) {
  bytes.assign(x.size() * (compute == Compute::bf16 ? 2 : 4), 0);
  for (size_t i = 0; i < x.size(); ++i) {
    const bf16 half = to_bf16(x[i]);
    if (compute == Compute::bf16)
      x[i] = to_f32(half), std::memcpy(bytes.data() + 2 * i, &half, 2);
    else
      std::memcpy(bytes.data() + 4 * i, &x[i], 4);
  }
  return x;
}
double relative(const std::vector<float>& got, const std::vector<double>& want) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) difference += (got[i] - want[i]) * (got[i] - want[i]), norm += want[i] * want[i];
  return std::sqrt(difference / std::max(norm, 1e-30));
}
}  // namespace

CASE("decoding equals the plain decoder bit for bit, any range, every format") {
  for (Isa isa : levels()) {
    for (Format format : {Format::nf4, Format::fp4})
      for (int block : {64, 128})
        for (bool nested : {false, true})
          for (auto [N, K] : {std::pair<int64_t, int64_t>{9, 33}, {7, 192}, {300, 67}, {5, 2050}}) {
            const Matrix matrix = make_matrix(format, N, K, block, nested);
            CHECK(wrong_elements(isa, matrix, decoded(matrix)) == 0);
          }
    for (Format format : {Format::int8, Format::f16, Format::bf16, Format::f32}) {
      const Matrix matrix = make_matrix(format, 11, 101);
      CHECK(wrong_elements(isa, matrix, decoded(matrix)) == 0);
    }
    const Matrix matrix = make_matrix(Format::nf4, 9, 33);
    std::vector<float> broken = decoded(matrix);
    broken[33 * 4 + 7] = std::nextafter(broken[33 * 4 + 7], 1.0f);
    CHECK(wrong_elements(isa, matrix, broken) > 0);  // canary: one unit in the last place
  }
}

CASE("a float matrix is scaled, then rounded") {
  const std::vector<float> x = normal(70, 3);
  for (Isa isa : levels()) {
    std::vector<float> floats(70);
    std::vector<bf16> halves(70);
    const WeightView view = view_of(x.data(), 2, 35, 1.7f);
    of<float>(kernel_table(isa)).decode_plain(view, 0, 2, 0, 35, floats.data(), 35);
    of<bf16>(kernel_table(isa)).decode_plain(view, 0, 2, 0, 35, halves.data(), 35);
    for (size_t i = 0; i < 70; ++i) CHECK(floats[i] == x[i] * 1.7f && halves[i].bits == to_bf16(x[i] * 1.7f).bits);
  }
}

CASE("products with one weight, both ways, any number of threads") {
  struct Shape {
    int64_t M, N, K;
  };
  for (const Shape& s : {Shape{1, 40, 33}, {2, 300, 64}, {5, 33, 2050}, {17, 130, 100}, {60, 257, 192}, {129, 65, 300}})
    for (Format format : {Format::nf4, Format::bf16})
      for (Compute compute : {Compute::f32, Compute::bf16}) {
        const Matrix matrix = make_matrix(format, s.N, s.K);
        std::vector<float> W = decoded(matrix);
        if (compute == Compute::bf16)
          for (float& w : W) w = to_f32(to_bf16(w));
        std::vector<uint8_t> x_bytes, d_y_bytes;
        const std::vector<float> x = activation(normal(s.M * s.K, 1), compute, x_bytes),
                                 d_y = activation(normal(s.M * s.N, 2), compute, d_y_bytes);
        std::vector<double> y(static_cast<size_t>(s.M * s.N)), d_x(static_cast<size_t>(s.M * s.K));
        for (int64_t m = 0; m < s.M; ++m)
          for (int64_t n = 0; n < s.N; ++n)
            for (int64_t k = 0; k < s.K; ++k) {
              const double w = W[static_cast<size_t>(n * s.K + k)];
              y[static_cast<size_t>(m * s.N + n)] += 0.3 * w * x[static_cast<size_t>(m * s.K + k)];
              d_x[static_cast<size_t>(m * s.K + k)] += 0.3 * w * d_y[static_cast<size_t>(m * s.N + n)];
            }
        for (Isa isa : levels()) {
          std::vector<float> first_y, first_d_x;
          for (int threads : {1, 2, 3}) {
            CpuBackend backend(compute, threads, isa);
            std::vector<float> got_y(static_cast<size_t>(s.M * s.N) + 16, -7.0f), got_d_x;
            backend.matmul_forward(s.M, x_bytes.data(), matrix, 0.3f, got_y.data());
            CHECK(std::all_of(got_y.end() - 16, got_y.end(), [](float value) { return value == -7.0f; }));
            got_y.resize(got_y.size() - 16);
            std::vector<uint8_t> bytes(x_bytes.size() + 64, 0xa5);
            const std::vector<float> scales(static_cast<size_t>(s.M), 0.3f);
            if (compute == Compute::bf16)
              backend.matmul_backward<bf16>(s.M, as<bf16>(d_y_bytes.data()), s.N, matrix, 1, scales, as<bf16>(bytes.data()));
            else
              backend.matmul_backward<float>(s.M, as<float>(d_y_bytes.data()), s.N, matrix, 1, scales, as<float>(bytes.data()));
            CHECK(std::all_of(bytes.end() - 64, bytes.end(), [](uint8_t byte) { return byte == 0xa5; }));
            for (int64_t i = 0; i < s.M * s.K; ++i) {
              bf16 half;
              float value;
              if (compute == Compute::bf16)
                std::memcpy(&half, bytes.data() + 2 * i, 2), value = to_f32(half);
              else
                std::memcpy(&value, bytes.data() + 4 * i, 4);
              got_d_x.push_back(value);
            }
            if (threads == 1) first_y = got_y, first_d_x = got_d_x;
            CHECK(got_y == first_y && got_d_x == first_d_x);
          }
          CHECK_LE(relative(first_y, y), 2e-6);
          CHECK_LE(relative(first_d_x, d_x), compute == Compute::bf16 ? 2e-3 : 2e-6);
          first_y[0] += 0.1f;
          CHECK(!(relative(first_y, y) <= 2e-6));  // canary
        }
      }
}

CASE("head logits divide by the divider") {
  const Matrix matrix = make_matrix(Format::bf16, 70, 48);
  const std::vector<float> W = decoded(matrix), x = normal(3 * 48, 8);
  for (Isa isa : levels()) {
    CpuBackend backend(Compute::f32, 2, isa);
    std::vector<float> logits(3 * 70);
    backend.head_logits(3, x.data(), matrix, 8.0f, logits.data());
    std::vector<double> want(3 * 70);
    for (size_t m = 0; m < 3; ++m)
      for (size_t n = 0; n < 70; ++n)
        for (size_t k = 0; k < 48; ++k) want[m * 70 + n] += static_cast<double>(x[m * 48 + k]) * W[n * 48 + k] / 8;
    CHECK_LE(relative(logits, want), 1e-6);
  }
}

CASE("outer products: any rows, ranks and columns, unwanted ranks, sums that continue") {
  for (Isa isa : levels()) {
    const KernelTable& kernels = kernel_table(isa);
    for (auto [rows, ranks, columns] :
         {std::array<int64_t, 3>{1, 1, 1}, {7, 3, 40}, {130, 16, 33}, {129, 17, 100}, {300, 5, 16}, {64, 20, 71}})
      for (bool is_bf16 : {false, true}) {
        const Compute compute = is_bf16 ? Compute::bf16 : Compute::f32;
        std::vector<uint8_t> left_bytes, right_bytes;
        const std::vector<float> left = activation(normal(rows * ranks, 1), compute, left_bytes),
                                 right = activation(normal(rows * columns, 2), compute, right_bytes);
        const int64_t stride = (ranks + outer_rank_step - 1) / outer_rank_step * outer_rank_step;
        std::vector<uint32_t> packed(static_cast<size_t>((rows + 1) * stride), 0x7fc07fc0u);  // excess lanes may be anything: NaN
        if (is_bf16)
          of<bf16>(kernels).pack_columns(reinterpret_cast<const bf16*>(left_bytes.data()), ranks, ranks, rows, packed.data(), stride);
        else
          of<float>(kernels).pack_columns(reinterpret_cast<const float*>(left_bytes.data()), ranks, ranks, rows, packed.data(), stride);
        std::vector<float> out(static_cast<size_t>(ranks * (columns + 1)), 0.5f);
        std::vector<float*> pointers;
        for (int64_t r = 0; r < ranks; ++r) pointers.push_back(r == 2 ? nullptr : out.data() + r * (columns + 1));
        OuterCall call;
        call.rows = rows, call.columns = columns, call.rank = ranks;
        call.left = packed.data(), call.left_stride = stride;
        call.right = right_bytes.data(), call.right_stride = columns;
        call.out = pointers.data();
        if (is_bf16)
          of<bf16>(kernels).outer(call);
        else
          of<float>(kernels).outer(call);
        std::vector<double> want;
        for (int64_t r = 0; r < ranks; ++r)
          for (int64_t c = 0; c <= columns; ++c) {
            double sum = 0.5;
            for (int64_t m = 0; m < rows && c < columns && r != 2; ++m)
              sum += static_cast<double>(left[static_cast<size_t>(m * ranks + r)]) * right[static_cast<size_t>(m * columns + c)];
            want.push_back(sum);
          }
        CHECK_LE(relative(out, want), 2e-6);
        for (int64_t r = 0; r < ranks; ++r) CHECK(out[static_cast<size_t>(r * (columns + 1) + columns)] == 0.5f);
      }
  }
}

TEST_MAIN()
