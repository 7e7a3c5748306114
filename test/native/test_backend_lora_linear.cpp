// lora_linear of the CPU backend against the book, over every instruction set of this machine, format, compute type and awkward shapes;
// and what the contract promises: nothing depends on threads, on how rows are grouped, or on a row's neighbours.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dropout.h"
#include "draws.h"
#include "harness.h"
#include "quant/encode.h"
#include "ref/lora_linear_ref.h"

using namespace fedlora;

namespace {
constexpr Format formats[] = {Format::nf4, Format::fp4, Format::int8, Format::f16, Format::bf16, Format::f32};

std::vector<Isa> levels() {
  std::vector<Isa> all;
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) all.push_back(static_cast<Isa>(level));
  return all;
}

std::vector<float> normal(size_t count, uint32_t seed, float scale = 1) { return draws::normals(count, seed, scale); }
float rounded(float x, Compute compute) { return compute == Compute::bf16 ? to_f32(to_bf16(x)) : x; }

/// An activation with sentinels behind it.
class Strided {
 public:
  Strided(Compute compute, int64_t count) : compute_(compute), count_(count), bytes_(static_cast<size_t>((count + 64) * width()), 0xa5) {}
  Strided(Compute compute, const std::vector<float>& values) : Strided(compute, static_cast<int64_t>(values.size())) {
    for (int64_t i = 0; i < count_; ++i) set(i, values[static_cast<size_t>(i)]);
  }
  void set(int64_t i, float x) {
    const bf16 half = to_bf16(x);
    if (compute_ == Compute::bf16)
      std::memcpy(bytes_.data() + 2 * i, &half, 2);
    else
      std::memcpy(bytes_.data() + 4 * i, &x, 4);
  }
  float get(int64_t i) const {
    float x;
    bf16 half;
    if (compute_ == Compute::f32) return std::memcpy(&x, bytes_.data() + 4 * i, 4), x;
    return std::memcpy(&half, bytes_.data() + 2 * i, 2), to_f32(half);
  }
  std::vector<float> values() const {
    std::vector<float> all;
    for (int64_t i = 0; i < count_; ++i) all.push_back(get(i));
    return all;
  }
  bool intact() const {
    return std::all_of(bytes_.begin() + count_ * width(), bytes_.end(), [](uint8_t byte) { return byte == 0xa5; });
  }
  void* data(int64_t at = 0) { return bytes_.data() + at * width(); }
  bool operator==(const Strided& other) const { return bytes_ == other.bytes_; }

 private:
  int64_t width() const { return compute_ == Compute::bf16 ? 2 : 4; }
  Compute compute_;
  int64_t count_;
  std::vector<uint8_t> bytes_;
};

Matrix make_matrix(Format format, int64_t N, int64_t K, uint32_t seed, bool nested = false) {
  static ThreadPool pool(1);
  const std::vector<float> values = normal(static_cast<size_t>(N * K), seed, 0.05f);
  return encode_matrix(format, {DType::f32, {N, K}, values.data(), values.size() * 4}, 64, nested, pool);
}

struct Shape {
  int64_t M, K;
  std::vector<int64_t> N;  // one a target
  std::vector<int> ranks;  // one a segment
  float dropout = 0;
  std::vector<int> frozen = {};  // ranks of frozen factors, one a segment; empty: none
};

/// Everything that goes into a call, and what comes out of it.
struct Problem {
  Shape shape;
  Compute compute;
  std::vector<std::shared_ptr<const Matrix>> weights;
  std::vector<std::vector<float>> bias, d_y;                  // [target]
  std::vector<std::vector<std::vector<float>>> A, B;          // [segment][target]
  std::vector<std::vector<std::vector<float>>> A_res, B_res;  // [segment][target]
  std::vector<float> x;
  std::vector<std::pair<int64_t, int64_t>> rows;  // [segment]
  int64_t h_stride = 0;

  Problem(Shape s, Compute c, Format format, bool nested = false) : shape(std::move(s)), compute(c) {
    uint32_t seed = 1;
    x = normal(static_cast<size_t>(shape.M * shape.K), seed++);
    for (float& value : x) value = rounded(value, compute);
    for (int64_t N : shape.N) {
      weights.push_back(std::make_shared<const Matrix>(make_matrix(format, N, shape.K, seed++, nested)));
      bias.push_back(normal(static_cast<size_t>(N), seed++));
      d_y.push_back(normal(static_cast<size_t>(shape.M * N), seed++));
      for (float& value : d_y.back()) value = rounded(value, compute);
    }
    const int64_t segments = static_cast<int64_t>(shape.ranks.size());
    for (int64_t s = 0; s < segments; ++s) {  // the first row and the last belong to no segment when there is room
      const int64_t first = shape.M > 2 * segments ? 1 : 0, span = (shape.M - 2 * first) / segments;
      rows.push_back({first + s * span, s + 1 == segments ? shape.M - first : first + (s + 1) * span});
      A.emplace_back(), B.emplace_back();
      for (int64_t N : shape.N) {
        A.back().push_back(normal(static_cast<size_t>(shape.ranks[static_cast<size_t>(s)] * shape.K), seed++, 0.1f));
        B.back().push_back(normal(static_cast<size_t>(shape.ranks[static_cast<size_t>(s)] * N), seed++, 0.1f));
      }
      h_stride = std::max<int64_t>(h_stride, shape.ranks[static_cast<size_t>(s)] + 1);
      A_res.emplace_back(), B_res.emplace_back();
      for (size_t t = 0; t < shape.N.size(); ++t) {
        const int rank = frozen(static_cast<size_t>(s), t);
        A_res.back().push_back(normal(static_cast<size_t>(rank * shape.K), seed++, 0.1f));
        const float size = rank > 100 ? 0.02f : 0.1f;  // y is not of the residual alone: two roundings to bf16 in a row are 2.4e-3
        B_res.back().push_back(normal(static_cast<size_t>(rank * shape.N[t]), seed++, size));
      }
    }
  }
  /// Each target has another rank, some of them none.
  int frozen(size_t s, size_t t) const { return shape.frozen.empty() ? 0 : std::max(0, shape.frozen[s] - 5 * static_cast<int>(t)); }
  float scaling(size_t s) const { return 1.7f / static_cast<float>(s + 1); }
  LoraPair pair(size_t s, size_t t) const {
    LoraPair p;
    p.rank = shape.ranks[s];
    if (p.rank == 0) return p;
    p.scaling = scaling(s);
    p.A = A[s][t].data();
    p.B = B[s][t].data();
    p.dropout = shape.dropout;
    p.dropout_seed = 77;
    p.dropout_stream = 10 * s + t;
    if (frozen(s, t) > 0) p.frozen = {frozen(s, t), A_res[s][t].data(), B_res[s][t].data()};
    return p;
  }
};

struct Result {
  std::vector<Strided> y, h;
  Strided d_x{Compute::f32, 0};
  std::vector<std::vector<std::vector<float>>> d_A, d_B;  // [segment][target], with one sentinel
};

constexpr float gradient_start = 0.25f;  // gradients accumulate onto this

/// Forward and backward of rows [begin, end) as a call of its own. Segments are cut to those rows.
/// Gradients of the first target that nobody wants.
enum class Unwanted { none, A, B };

Result run(const Problem& p, Isa isa, int threads, int64_t begin = 0, int64_t end = -1, Unwanted unwanted = Unwanted::none) {
  if (end < 0) end = p.shape.M;
  const int64_t M = end - begin;
  CpuBackend backend(p.compute, threads, isa);
  CHECK(backend.name() == std::string("cpu-") + isa_name(isa));
  Result out;
  Strided x(p.compute, std::vector<float>(p.x.begin() + begin * p.shape.K, p.x.begin() + end * p.shape.K));
  std::vector<Strided> d_y;
  std::vector<LinearTarget> targets;
  for (size_t t = 0; t < p.shape.N.size(); ++t) {
    const int64_t N = p.shape.N[t];
    out.y.emplace_back(p.compute, M * N);
    out.h.emplace_back(p.compute, M * p.h_stride);
    d_y.emplace_back(p.compute, std::vector<float>(p.d_y[t].begin() + begin * N, p.d_y[t].begin() + end * N));
  }
  for (size_t t = 0; t < p.shape.N.size(); ++t)
    targets.push_back(
        {p.weights[t].get(), t % 2 == 0 ? p.bias[t].data() : nullptr, out.y[t].data(), out.h[t].data(), p.h_stride, d_y[t].data()});
  std::vector<std::vector<LoraPair>> pairs;
  std::vector<Segment> segments;
  for (size_t s = 0; s < p.rows.size(); ++s) {
    pairs.emplace_back(), out.d_A.emplace_back(), out.d_B.emplace_back();
    for (size_t t = 0; t < p.shape.N.size(); ++t) {
      pairs.back().push_back(p.pair(s, t));
      out.d_A.back().push_back(std::vector<float>(p.A[s][t].size() + 1, gradient_start));
      out.d_B.back().push_back(std::vector<float>(p.B[s][t].size() + 1, gradient_start));
      if (pairs.back().back().rank == 0) continue;
      if (t > 0 || unwanted != Unwanted::A) pairs.back().back().d_A = out.d_A[s][t].data();
      if (t > 0 || unwanted != Unwanted::B) pairs.back().back().d_B = out.d_B[s][t].data();
    }
  }
  for (size_t s = 0; s < p.rows.size(); ++s) {
    const int64_t from = std::clamp(p.rows[s].first, begin, end), to = std::clamp(p.rows[s].second, begin, end);
    if (from < to) segments.push_back({from - begin, to - begin, pairs[s]});
  }
  out.d_x = Strided(p.compute, M * p.shape.K);
  backend.lora_linear_forward(M, x.data(), targets, segments);
  backend.lora_linear_backward(M, x.data(), targets, segments, out.d_x.data());
  CHECK(out.d_x.intact());
  for (size_t t = 0; t < out.y.size(); ++t) CHECK(out.y[t].intact() && out.h[t].intact());
  for (const auto& all : {out.d_A, out.d_B})
    for (const auto& segment : all)
      for (const auto& gradient : segment) CHECK(gradient.back() == gradient_start);
  return out;
}

/// The book's answer over the numbers that the backend multiplies: weights, A and s·B rounded to the compute type. `h` is the backend's.
struct Truth {
  std::vector<std::vector<double>> y, h;
  std::vector<double> d_x;
  std::vector<std::vector<std::vector<double>>> d_A, d_B;
};
Truth book(const Problem& p, const Result* result) {
  const int64_t M = p.shape.M, K = p.shape.K;
  Truth truth;
  const std::vector<double> x(p.x.begin(), p.x.end());
  truth.d_x.assign(x.size(), 0.0);
  truth.d_A.resize(p.rows.size()), truth.d_B.resize(p.rows.size());
  for (size_t t = 0; t < p.shape.N.size(); ++t) {
    const int64_t N = p.shape.N[t];
    std::vector<float> decoded(static_cast<size_t>(N * K));
    decode(*p.weights[t], 0, N * K, decoded.data());
    std::vector<double> W;
    for (float w : decoded) W.push_back(rounded(w, p.compute));
    const std::vector<double> bias(p.bias[t].begin(), p.bias[t].end()), d_y(p.d_y[t].begin(), p.d_y[t].end());
    std::vector<ref::Adapter<double>> adapters;
    std::vector<std::vector<double>> A(p.rows.size()), B(p.rows.size()), A_res(p.rows.size()), B_res(p.rows.size());
    for (size_t s = 0; s < p.rows.size(); ++s) {
      truth.d_A[s].push_back(std::vector<double>(p.A[s][t].size(), gradient_start));
      truth.d_B[s].push_back(std::vector<double>(p.B[s][t].size(), gradient_start));
      const float factor = p.shape.dropout > 0 ? 1.0f / (1.0f - p.shape.dropout) : 1.0f;
      for (float a : p.A[s][t]) A[s].push_back(rounded(a * factor, p.compute) / factor);
      for (float b : p.B[s][t]) B[s].push_back(static_cast<double>(rounded(b * p.scaling(s), p.compute)) / p.scaling(s));
      for (float a : p.A_res[s][t]) A_res[s].push_back(rounded(a, p.compute));
      for (float b : p.B_res[s][t]) B_res[s].push_back(static_cast<double>(rounded(b * p.scaling(s), p.compute)) / p.scaling(s));
      adapters.push_back({p.rows[s].first, p.rows[s].second, p.shape.ranks[s], p.scaling(s), A[s].data(), B[s].data(),
                          truth.d_A[s][t].data(), truth.d_B[s][t].data(), p.shape.dropout, 77, 10 * s + t, p.frozen(s, t), A_res[s].data(),
                          B_res[s].data()});
    }
    truth.y.emplace_back(static_cast<size_t>(M * N));
    truth.h.emplace_back(static_cast<size_t>(M * p.h_stride));
    ref::lora_linear_forward<double>(M, N, K, x.data(), W.data(), t % 2 == 0 ? bias.data() : nullptr, adapters, truth.h[t].data(),
                                     p.h_stride, truth.y[t].data());
    std::vector<double> h = truth.h[t];
    for (size_t i = 0; result && i < h.size(); ++i) h[i] = result->h[t].get(static_cast<int64_t>(i));
    std::vector<double> d_x(x.size());
    ref::lora_linear_backward<double>(M, N, K, x.data(), W.data(), adapters, h.data(), p.h_stride, d_y.data(), d_x.data());
    for (size_t i = 0; i < d_x.size(); ++i) truth.d_x[i] += d_x[i];
  }
  return truth;
}

double relative(const std::vector<float>& got, const std::vector<double>& want) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) difference += (got[i] - want[i]) * (got[i] - want[i]), norm += want[i] * want[i];
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}
std::vector<float> without_sentinel(std::vector<float> x) { return x.pop_back(), x; }

/// f32: chains of up to some thousand roundings. bf16: an output or an intermediate h rounded to 8 bits, whose relative error has
/// a root mean square of at most 2⁻⁷/√12 (2.3e-3).
double tolerance(Compute compute) { return compute == Compute::f32 ? 3e-6 : 2.5e-3; }
/// Few numbers have no mean to speak of: each is within 2⁻⁸ of itself. Makes that their tolerance.
double of_few(double error, size_t count) { return count < 64 ? error * (2.5e-3 * 0x1p8) : error; }

/// Largest relative error over all outputs; h only in the rows and ranks that are written.
double worst_error(const Problem& p, const Result& got, const Truth& want) {
  double worst = relative(got.d_x.values(), want.d_x);
  const auto note = [&](double error) {
    if (!(error <= worst)) worst = error;
  };
  for (size_t t = 0; t < p.shape.N.size(); ++t) {
    note(relative(got.y[t].values(), want.y[t]));
    for (size_t s = 0; s < p.rows.size(); ++s) {
      std::vector<float> h;
      std::vector<double> wanted;
      for (int64_t m = p.rows[s].first; m < p.rows[s].second; ++m)
        for (int r = 0; r < p.shape.ranks[s]; ++r)
          h.push_back(got.h[t].get(m * p.h_stride + r)), wanted.push_back(want.h[t][static_cast<size_t>(m * p.h_stride + r)]);
      note(of_few(relative(h, wanted), h.size()));
      note(of_few(relative(without_sentinel(got.d_A[s][t]), want.d_A[s][t]), h.size()));  // of as many sums, rounded on the way
      note(relative(without_sentinel(got.d_B[s][t]), want.d_B[s][t]));
    }
  }
  return worst;
}

bool same(const Result& a, const Result& b) { return a.y == b.y && a.h == b.h && a.d_x == b.d_x && a.d_A == b.d_A && a.d_B == b.d_B; }

void check(const Shape& shape, Format format, bool nested = false) {
  for (Compute compute : {Compute::f32, Compute::bf16}) {
    const Problem problem(shape, compute, format, nested);
    for (Isa isa : levels()) {
      const Result result = run(problem, isa, 1);
      const double error = worst_error(problem, result, book(problem, &result));
      const std::string what =
          format_text("%s %s %s M %d K %d N %d", isa_name(isa), format_name(format), compute == Compute::f32 ? "f32" : "bf16",
                      static_cast<int>(shape.M), static_cast<int>(shape.K), static_cast<int>(shape.N[0]));
      harness::judge(__FILE__, __LINE__, what, error, tolerance(compute));
    }
  }
}
}  // namespace

CASE("every format, compute type and instruction set: awkward shapes against the book") {
  const Shape shapes[] = {
      {1, 33, {65}, {1}},  {2, 64, {33, 17}, {3}},     {5, 100, {100}, {8}},      {6, 192, {192, 64, 64}, {16}},
      {7, 65, {31}, {17}}, {13, 129, {64, 1}, {8, 3}}, {64, 100, {192}, {16, 1}}, {129, 64, {97}, {8, 0, 4}},
  };
  for (Format format : formats)
    for (const Shape& shape : shapes) check(shape, format);
}

CASE("long sums, more columns than a panel, nested scales") {
  check({40, 2050, {70}, {16}}, Format::nf4, true);
  check({40, 70, {2050, 300}, {16, 9}}, Format::nf4, true);
  check({3, 4200, {40}, {4}}, Format::fp4, true);
  check({33, 40, {4200}, {4}}, Format::int8);
  check({20, 576, {192}, {64}}, Format::nf4);
}

CASE("frozen factors: in forward and d_x, of every rank beside every other, without dropout where the pair has some") {
  const Shape shapes[] = {
      {1, 33, {65}, {1}, 0, {1}},
      {7, 65, {31, 40}, {3}, 0, {8}},
      {13, 129, {64, 1}, {8, 3}, 0, {0, 17}},
      {40, 100, {192, 64, 64}, {16}, 0, {16}},
      {129, 64, {97}, {8, 1, 4}, 0, {140, 0, 5}},
      {33, 2050, {70}, {4}, 0, {9}},
      {150, 100, {64, 33}, {8, 3}, 0.25f, {12, 7}},
      {9, 33, {40}, {4}, 0.6f, {3}},
      {40, 70, {33, 20, 9}, {2}, 0, {700}},  // panels of frozen factors beyond those of the base, and of forward
  };
  for (Format format : {Format::nf4, Format::int8, Format::f32})
    for (const Shape& shape : shapes) check(shape, format);
}

CASE("frozen factors that are zero change no bit; those that are not change y and d_x, but no h, d_A or d_B") {
  for (const float dropout : {0.0f, 0.3f})
    for (Compute compute : {Compute::f32, Compute::bf16}) {
      const Problem without({21, 100, {64, 33}, {8, 3}, dropout}, compute, Format::nf4);
      Problem with = without;
      with.shape.frozen = {9, 6};
      for (size_t s = 0; s < 2; ++s)
        for (size_t t = 0; t < 2; ++t) {
          with.A_res[s][t] = normal(static_cast<size_t>(with.frozen(s, t) * 100), 5);
          with.B_res[s][t].assign(static_cast<size_t>(with.frozen(s, t) * without.shape.N[t]), 0.0f);
        }
      Problem other = with;
      for (auto& segment : other.B_res)
        for (auto& B : segment) std::fill(B.begin(), B.end(), 0.5f);
      for (Isa isa : levels()) {
        const Result base = run(without, isa, 2), zero = run(with, isa, 2), more = run(other, isa, 2);
        CHECK(same(zero, base));
        CHECK(more.h == base.h && more.d_A == base.d_A && more.d_B == base.d_B);
        CHECK(!(more.y == base.y) && !(more.d_x == base.d_x));
        CHECK(same(more, run(other, isa, 1)) && same(more, run(other, isa, 3)));
      }
    }
}

CASE("a wrong product is noticed (canary)") {
  const Problem problem({13, 65, {33}, {8}}, Compute::f32, Format::nf4);
  Result result = run(problem, detect_isa(), 1);
  result.y[0].set(70, result.y[0].get(70) + 0.05f);
  CHECK(!(worst_error(problem, result, book(problem, &result)) <= tolerance(Compute::f32)));
  const Problem other({13, 65, {33}, {8}}, Compute::f32, Format::fp4);
  CHECK(!(worst_error(problem, run(other, detect_isa(), 1), book(problem, nullptr)) <= tolerance(Compute::bf16)));
  Problem frozen({13, 65, {33}, {8}, 0, {4}}, Compute::f32, Format::nf4);
  result = run(frozen, detect_isa(), 1);
  frozen.A_res[0][0][3] += 0.05f;
  CHECK(!(worst_error(frozen, result, book(frozen, &result)) <= tolerance(Compute::f32)));
}

CASE("results do not depend on the number of threads") {
  for (Compute compute : {Compute::f32, Compute::bf16})
    for (const Shape& shape : {Shape{150, 192, {192, 96, 96}, {16}}, Shape{67, 300, {520}, {8, 5}, 0.3f}, Shape{3, 100, {200}, {4}},
                               Shape{70, 192, {192, 96}, {16}, 0, {20}}}) {
      const Problem problem(shape, compute, Format::nf4);
      for (Isa isa : levels()) {
        const Result one = run(problem, isa, 1);
        CHECK(same(one, run(problem, isa, 2)) && same(one, run(problem, isa, 3)));
      }
    }
}

CASE("a row's result does not depend on its neighbours: alone, in small calls or in one") {
  for (Compute compute : {Compute::f32, Compute::bf16})
    for (int64_t K : {192, 2307}) {
      const Problem problem({41, K, {100, 33}, {8, 3}, 0, {7, 12}}, compute, Format::nf4);
      for (Isa isa : levels()) {
        const Result whole = run(problem, isa, 2);
        for (int64_t step : {1, 5, 18})
          for (int64_t begin = 0; begin < 41; begin += step) {
            const int64_t end = std::min<int64_t>(begin + step, 41);
            const Result part = run(problem, isa, 2, begin, end);
            bool equal = true;
            for (size_t t = 0; t < 2; ++t)
              for (int64_t i = 0; i < (end - begin) * problem.shape.N[t]; ++i)
                equal = equal && part.y[t].get(i) == whole.y[t].get(begin * problem.shape.N[t] + i);
            for (int64_t i = 0; i < (end - begin) * K; ++i) equal = equal && part.d_x.get(i) == whole.d_x.get(begin * K + i);
            CHECK(equal);
          }
      }
    }
}

CASE("dropout: the drawn mask, in forward and backward, every instruction set") {
  for (Format format : {Format::nf4, Format::f32}) {
    check({150, 100, {64, 33}, {8, 3}, 0.25f}, format);
    check({9, 33, {40}, {4}, 0.6f}, format);
  }
  // p = 0.5 at 40,000 draws: the share kept is within 5 standard deviations, 5·√(¼/40000) = 0.0125.
  LoraPair pair;
  pair.dropout = 0.5f, pair.dropout_seed = 3, pair.dropout_stream = 9;
  for (Isa isa : levels()) {
    const KernelTable& kernels = kernel_table(isa);
    std::vector<uint8_t> keep(40'001, 7), part(100);
    draw_kept(kernels, pair, 0, 40'000, keep.data());
    CHECK(keep.back() == 7);
    keep.pop_back();
    CHECK_LE(std::fabs(static_cast<double>(std::count(keep.begin(), keep.end(), 1)) / 40'000 - 0.5), 0.0125);
    for (int64_t index : {0, 1, 126, 1'237}) {
      draw_kept(kernels, pair, index, 100, part.data());
      CHECK(std::equal(part.begin(), part.end(), keep.begin() + index));
    }
    for (float p : {0.5f, 0.1f, 1e-7f}) {
      pair.dropout = p;
      draw_kept(kernels, pair, 0, 40'000, keep.data());
      for (size_t i = 0; i < 2'000; ++i) CHECK((keep[i] != 0) == (ref::dropout_factor(p, 3, 9, i) > 0));
    }
    pair.dropout = 0.5f;
    const int64_t far = (int64_t{4} << 32) - 50;  // across the carry of the counter's low word
    draw_kept(kernels, pair, far, 100, part.data());
    for (int64_t i = 0; i < 100; ++i)
      CHECK((part[static_cast<size_t>(i)] != 0) == (ref::dropout_factor(0.5f, 3, 9, static_cast<uint64_t>(far + i)) > 0));
  }
}

CASE("no gradient wanted, no adapter, no rows") {
  for (Isa isa : levels()) {
    CpuBackend backend(Compute::f32, 2, isa);
    const Problem problem({9, 40, {24}, {4}}, Compute::f32, Format::nf4);
    const Result full = run(problem, isa, 2);
    Strided x(Compute::f32, problem.x), y(Compute::f32, 9 * 24), h(Compute::f32, 9 * problem.h_stride), d_y(Compute::f32, problem.d_y[0]);
    LinearTarget target{problem.weights[0].get(), problem.bias[0].data(), y.data(), h.data(), problem.h_stride, d_y.data()};
    LoraPair pair = problem.pair(0, 0);
    std::vector<float> d_B(problem.B[0][0].size(), gradient_start);
    pair.d_B = d_B.data();
    const Segment segment{problem.rows[0].first, problem.rows[0].second, {&pair, 1}};
    backend.lora_linear_forward(9, x.data(), {&target, 1}, {&segment, 1});
    backend.lora_linear_backward(9, x.data(), {&target, 1}, {&segment, 1}, nullptr);
    CHECK(d_B == without_sentinel(full.d_B[0][0]));
    CHECK(y == full.y[0]);
    backend.lora_linear_forward(0, x.data(), {&target, 1}, {});
    backend.lora_linear_backward(0, nullptr, {&target, 1}, {}, nullptr);
    CHECK(y == full.y[0]);
    // Without adapter: rows 1 and on of y differ from before, row 0 was outside the segment.
    target.h = nullptr;
    backend.lora_linear_forward(9, x.data(), {&target, 1}, {});
    for (int64_t n = 0; n < 24; ++n) CHECK(y.get(n) == full.y[0].get(n) && y.get(24 + n) != full.y[0].get(24 + n));
    CHECK(backend.scratch_bytes() > 0);
  }
}

CASE("a gradient that nobody wants is not made, and changes no bit of the others") {
  for (const float dropout : {0.0f, 0.3f})
    for (const Compute compute : {Compute::f32, Compute::bf16}) {
      const Problem problem({37, 300, {40, 33}, {6, 3}, dropout}, compute, Format::nf4);
      for (const Isa isa : levels()) {
        const Result all = run(problem, isa, 2);
        for (const Unwanted unwanted : {Unwanted::A, Unwanted::B}) {
          Result some = run(problem, isa, 2, 0, -1, unwanted);
          for (size_t s = 0; s < problem.rows.size(); ++s) {
            std::vector<float>& left = unwanted == Unwanted::A ? some.d_A[s][0] : some.d_B[s][0];
            CHECK(std::all_of(left.begin(), left.end(), [](float value) { return value == gradient_start; }));
            left = unwanted == Unwanted::A ? all.d_A[s][0] : all.d_B[s][0];
          }
          CHECK(same(some, all));
        }
      }
    }
}

CASE("gradients along a random direction, in double differences of the f32 forward") {
  // loss = Σ c∘y is linear in each of x, A, B: a central difference is exact up to rounding.
  const Problem problem({17, 48, {40}, {6}, 0.2f}, Compute::f32, Format::nf4);
  const Result result = run(problem, detect_isa(), 2);
  const auto loss = [&](const Problem& p) {
    const Result forward = run(p, detect_isa(), 1);
    double sum = 0;
    for (int64_t i = 0; i < 17 * 40; ++i) sum += static_cast<double>(forward.y[0].get(i)) * p.d_y[0][static_cast<size_t>(i)];
    return sum;
  };
  const auto difference = [&](auto pick, const std::vector<float>& direction) {
    Problem plus = problem, minus = problem;
    for (size_t i = 0; i < direction.size(); ++i) pick(plus)[i] += 0.25f * direction[i], pick(minus)[i] -= 0.25f * direction[i];
    return (loss(plus) - loss(minus)) / 0.5;
  };
  const auto along = [](const std::vector<float>& gradient, const std::vector<float>& direction, float start) {
    double sum = 0;
    for (size_t i = 0; i < direction.size(); ++i) sum += (static_cast<double>(gradient[i]) - start) * direction[i];
    return sum;
  };
  const std::vector<float> u = normal(problem.x.size(), 91), v = normal(problem.A[0][0].size(), 92), w = normal(problem.B[0][0].size(), 93);
  const double x_slope = difference([](Problem& p) -> std::vector<float>& { return p.x; }, u);
  const double A_slope = difference([](Problem& p) -> std::vector<float>& { return p.A[0][0]; }, v);
  const double B_slope = difference([](Problem& p) -> std::vector<float>& { return p.B[0][0]; }, w);
  CHECK_LE(std::fabs(along(result.d_x.values(), u, 0) - x_slope), 1e-4 * std::fabs(x_slope) + 1e-3);
  CHECK_LE(std::fabs(along(result.d_A[0][0], v, gradient_start) - A_slope), 1e-4 * std::fabs(A_slope) + 1e-3);
  CHECK_LE(std::fabs(along(result.d_B[0][0], w, gradient_start) - B_slope), 1e-4 * std::fabs(B_slope) + 1e-3);
  CHECK(
      !(std::fabs(along(result.d_A[0][0], v, 0) - A_slope) <= 1e-4 * std::fabs(A_slope) + 1e-3));  // canary: the start counted as gradient
}

TEST_MAIN()
