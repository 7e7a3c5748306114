/// attention of the CPU backend against the book: forward, backward, decode.
#include <array>

#include "backend_check.h"
#include "ref/attention_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
struct Inputs {
  AttentionShape shape;
  std::vector<int64_t> offsets{0};
  Tensor q, k, v, d_o;

  Inputs(int heads, int kv_heads, int D, int window, const std::vector<int64_t>& lengths, double sharpness = 1)
      : shape{heads, kv_heads, D, static_cast<float>(sharpness / std::sqrt(D)), window} {
    for (int64_t length : lengths) offsets.push_back(offsets.back() + length);
    book::Random random(20);
    q = random.normals(rows() * heads * D), k = random.normals(rows() * kv_heads * D), v = random.normals(rows() * kv_heads * D);
    d_o = random.normals(rows() * heads * D);
  }
  /// The same with ALiBi.
  Inputs leaning(const float* slopes) const {
    Inputs leaning = *this;
    leaning.shape.slopes = slopes;
    return leaning;
  }
  /// The same with δ summed over keys, and what values of biased projections have in common: 2 in every element of v.
  Inputs summing() const {
    Inputs summing = *this;
    summing.shape.sum_delta = true;
    for (double& value : summing.v) value += 2;
    return summing;
  }
  /// What ALiBi adds to a score of head h.
  double lean(int h, int64_t apart) const { return shape.slopes ? static_cast<double>(shape.slopes[h]) * static_cast<double>(apart) : 0; }
  int64_t rows() const { return offsets.back(); }
  /// Sequence i alone.
  Inputs only(size_t i) const {
    Inputs one = *this;
    one.offsets = {0, offsets[i + 1] - offsets[i]};
    for (auto [to, from, heads] :
         {std::tuple{&one.q, &q, shape.heads}, {&one.k, &k, shape.kv_heads}, {&one.v, &v, shape.kv_heads}, {&one.d_o, &d_o, shape.heads}})
      *to = Tensor(from->begin() + offsets[i] * heads * shape.head_dim, from->begin() + offsets[i + 1] * heads * shape.head_dim);
    return one;
  }
};

/// o, lse, d_q, d_k, d_v.
std::vector<Numbers> attend(CpuBackend& backend, bool f32, const Inputs& in) {
  Numbers q(f32, in.q), k(f32, in.k), v(f32, in.v), d_o(f32, in.d_o);
  const int64_t q_count = static_cast<int64_t>(in.q.size()), kv_count = static_cast<int64_t>(in.k.size());
  Numbers o(f32, q_count), lse(true, 2 * in.rows() * in.shape.heads), d_q(f32, q_count), d_k(f32, kv_count), d_v(f32, kv_count);
  backend.attention_forward(in.shape, in.offsets, q.data(), k.data(), v.data(), o.data(), lse.floats());
  backend.attention_backward(in.shape, in.offsets, q.data(), k.data(), v.data(), o.data(), lse.floats(), d_o.data(), d_q.data(), d_k.data(),
                             d_v.data());
  Numbers sum(true, in.rows() * in.shape.heads);
  for (int64_t i = 0; i < in.rows() * in.shape.heads; ++i) sum.floats()[i] = lse.floats()[2 * i] + lse.floats()[2 * i + 1];
  return {o, sum, d_q, d_k, d_v};
}

/// The same from the book, from the same rounded inputs.
std::vector<Tensor> book_attend(const Inputs& in, bool f32) {
  const Tensor q = Numbers(f32, in.q).values(), k = Numbers(f32, in.k).values(), v = Numbers(f32, in.v).values(),
               d_o = Numbers(f32, in.d_o).values();
  Tensor o(q.size()), lse(static_cast<size_t>(in.rows() * in.shape.heads)), d_q(q.size()), d_k(k.size()), d_v(v.size());
  ref::attention_forward<double>(in.shape, in.offsets, q.data(), k.data(), v.data(), o.data(), lse.data());
  ref::attention_backward<double>(in.shape, in.offsets, q.data(), k.data(), v.data(), d_o.data(), d_q.data(), d_k.data(), d_v.data());
  return {o, lse, d_q, d_k, d_v};
}

/// ‖got − want‖ / ‖want‖, where less than 0.05 an element counts as 0.05: gradients can be exactly zero.
double norm_error(const Tensor& got, const Tensor& want) {
  double difference = 0, norm = 0.0025 * static_cast<double>(want.size());
  for (size_t i = 0; i < want.size(); ++i) difference += (got[i] - want[i]) * (got[i] - want[i]), norm += want[i] * want[i];
  return std::sqrt(difference / norm);
}

/// What the roundings of bf16 may do to a result, in half units: an element's largest error, when each errs by a half unit and all the same
/// way, and its variance, when they are independent and evenly spread, in thirds of a half unit squared.
struct Roundings {
  Tensor most, variance;
  explicit Roundings(size_t count) : most(count), variance(count) {}
  /// A part of element i was rounded.
  void add(size_t i, double part) {
    most[i] += std::fabs(part);
    variance[i] += part * part;
  }
  /// Something that errs by `error` with this variance was multiplied into it by `factor`.
  void add(size_t i, double factor, double error, double error_variance) {
    most[i] += error * std::fabs(factor);
    variance[i] += error_variance * factor * factor;
  }
};

/// Of o, lse, d_q, d_k, d_v in bf16. Rounded are the probabilities p before they multiply v and d_o, o, from which δ = d_o·o is made unless
/// it is summed, then d_s = p·(d_o·v − δ) before it multiplies k and q, and the gradients.
std::vector<Roundings> bf16_roundings(const Inputs& in, const std::vector<Tensor>& want) {
  const auto [H, G, D, scale, window, soft_cap, slopes, sum_delta] = in.shape;
  const Tensor q = Numbers(false, in.q).values(), k = Numbers(false, in.k).values(), v = Numbers(false, in.v).values(),
               d_o = Numbers(false, in.d_o).values();
  Roundings o(q.size()), lse(0), d_q(q.size()), d_k(k.size()), d_v(v.size());
  for (size_t sequence = 0; sequence + 1 < in.offsets.size(); ++sequence)
    for (int64_t i = in.offsets[sequence]; i < in.offsets[sequence + 1]; ++i)
      for (int h = 0; h < H; ++h) {
        const int64_t first = window > 0 ? std::max(in.offsets[sequence], i - window + 1) : in.offsets[sequence];
        const size_t at = static_cast<size_t>((i * H + h) * D);
        const auto key = [&](int64_t j) { return static_cast<size_t>((j * G + h / (H / G)) * D); };
        const auto dot = [&](const Tensor& a, size_t a_at, const Tensor& b, size_t b_at) {
          double sum = 0;
          for (size_t d = 0; d < static_cast<size_t>(D); ++d) sum += a[a_at + d] * b[b_at + d];
          return sum;
        };
        Tensor p;
        for (int64_t j = first; j <= i; ++j)
          p.push_back(std::exp(dot(q, at, k, key(j)) * scale + in.lean(h, j - i) - want[1][static_cast<size_t>(i * H + h)]));
        const auto part = [&](int64_t j) { return p[static_cast<size_t>(j - first)]; };
        double delta = 0, delta_error = 0, delta_variance = 0;
        for (size_t d = 0; d < static_cast<size_t>(D); ++d) {
          for (int64_t j = first; j <= i; ++j) o.add(at + d, part(j) * v[key(j) + d]);
          o.add(at + d, want[0][at + d]);
          delta += d_o[at + d] * want[0][at + d];
          delta_error += std::fabs(d_o[at + d]) * o.most[at + d];
          delta_variance += d_o[at + d] * d_o[at + d] * o.variance[at + d];
        }
        if (sum_delta) delta_error = delta_variance = 0;
        for (size_t d = 0; d < static_cast<size_t>(D); ++d) {
          double attended = 0;  // Σ_j p_j k_j: what an error of δ multiplies
          for (int64_t j = first; j <= i; ++j) {
            const double d_s = part(j) * (dot(d_o, at, v, key(j)) - delta) * scale;
            attended += part(j) * k[key(j) + d];
            d_q.add(at + d, d_s * k[key(j) + d]);
            d_k.add(key(j) + d, d_s * q[at + d]);
            d_k.add(key(j) + d, scale * part(j) * q[at + d], delta_error, delta_variance);
            d_v.add(key(j) + d, part(j) * d_o[at + d]);
          }
          d_q.add(at + d, scale * attended, delta_error, delta_variance);
        }
      }
  for (size_t i = 0; i < d_q.most.size(); ++i) d_q.add(i, want[2][i]);
  for (size_t i = 0; i < d_k.most.size(); ++i) d_k.add(i, want[3][i]), d_v.add(i, want[4][i]);
  return {o, lse, d_q, d_k, d_v};
}

struct Book {
  Book(const Inputs& in, bool f32)
      : f32(f32), want(book_attend(in, f32)), roundings(f32 ? std::vector<Roundings>() : bf16_roundings(in, want)) {}
  bool f32;
  std::vector<Tensor> want;
  std::vector<Roundings> roundings;
};

double worst_ever[2][5];

/// The largest share of what is allowed. In f32, and for lse: an error of a score is a relative error of its probability, and scores reach
/// 60, of which a rounding takes 60·2⁻²⁴ = 4e-6. In bf16 that and what its roundings may do to an element and, where there are enough
/// elements for a variance, to the norm of all.
double share(const Tensor& got, const Book& book, size_t i) {
  const Tensor& want = book.want[i];
  double worst = std::fmax(check::scaled_error(got, want, 0.5) / 5e-6, norm_error(got, want) / 4e-6);
  if (std::isnan(worst) || book.f32 || i == 1) return worst;
  const Roundings& roundings = book.roundings[i];
  const double small = 5e-6 * std::fmax(0.5, check::largest(want));
  double difference = 0, variance = 0;
  worst = 0;
  for (size_t e = 0; e < want.size(); ++e) {
    worst = book::worse(worst, std::fabs(got[e] - want[e]) / (check::bf16_unit * roundings.most[e] + small));
    difference += (got[e] - want[e]) * (got[e] - want[e]);
    variance += check::bf16_unit * check::bf16_unit / 3 * roundings.variance[e] + small * small;
  }
  return want.size() < 256 ? worst : book::worse(worst, std::sqrt(difference / variance));
}

void judge(std::vector<Numbers>& got, const Book& book) {
  for (size_t i = 0; i < 5; ++i) {
    const double error = share(got[i].values(), book, i);
    CHECK_LE(error, 1);
    worst_ever[book.f32][i] = book::worse(worst_ever[book.f32][i], error);
  }
}

void check_shape(const Inputs& in) {
  const Book books[2] = {Book(in, false), Book(in, true)};
  check::each_backend([&](CpuBackend& backend, bool f32) { return attend(backend, f32, in); },
                      [&](std::vector<Numbers>& got, bool f32) { judge(got, books[f32]); });
}
}  // namespace

CASE("attention: sequences of awkward lengths in one pack") { check_shape(Inputs(4, 2, 64, 0, {1, 2, 17, 64, 65, 200})); }
CASE("attention: window") {
  check_shape(Inputs(2, 2, 32, 9, {1, 9, 10, 65, 200}));
  check_shape(Inputs(2, 1, 32, 70, {3, 71, 200}));
  check_shape(Inputs(1, 1, 32, 1, {70}));
}
CASE("attention: head sizes and group sizes") {
  check_shape(Inputs(9, 3, 48, 0, {33, 70}));
  check_shape(Inputs(6, 1, 80, 0, {7, 31}));
  check_shape(Inputs(2, 2, 128, 0, {65}));
  check_shape(Inputs(1, 1, 256, 0, {31}));
  check_shape(Inputs(3, 3, 7, 0, {5, 33}));
  check_shape(Inputs(1, 1, 1, 0, {2}));
}
CASE("attention: heads that are divided among threads: the last one of 3, of 5, a single one") {
  check_shape(Inputs(3, 1, 40, 0, {330}));
  check_shape(Inputs(5, 5, 33, 100, {400, 257}));
  check_shape(Inputs(1, 1, 64, 0, {257}));
}
CASE("attention: ALiBi, slopes of three and six heads: windows, grouped heads, packs, tiles, heads in two tasks") {
  static constexpr float slopes[] = {0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f};
  check_shape(Inputs(6, 6, 33, 0, {1, 2, 17, 64, 65, 200}).leaning(slopes));
  check_shape(Inputs(3, 1, 40, 0, {330}).leaning(slopes));
  check_shape(Inputs(6, 3, 64, 70, {71, 200}).leaning(slopes));
  check_shape(Inputs(3, 3, 128, 0, {130}, 12).leaning(slopes));
}
CASE("attention: δ summed over keys: tiles, windows, grouped heads, packs, ALiBi, heads in two tasks") {
  static constexpr float slopes[] = {0.25f, 0.0625f, 0.015625f};
  check_shape(Inputs(4, 2, 64, 0, {1, 2, 17, 64, 65, 200}).summing());
  check_shape(Inputs(2, 2, 32, 9, {1, 9, 10, 65, 200}).summing());
  check_shape(Inputs(5, 5, 33, 100, {400, 257}).summing());
  check_shape(Inputs(3, 1, 40, 0, {330}).leaning(slopes).summing());
  check_shape(Inputs(1, 1, 64, 0, {257}).summing());
  check_shape(Inputs(2, 1, 80, 0, {130}, 12).summing());
}
CASE("canary: δ of an output as it was rounded is called wrong where it was to be summed") {
  const Inputs in = Inputs(3, 1, 40, 0, {130}).summing();
  Inputs rounded = in;
  rounded.shape.sum_delta = false;
  CpuBackend backend(Compute::bf16, 1, detect_isa());
  std::vector<Numbers> got = attend(backend, false, rounded);
  for (size_t i = 2; i < 4; ++i) {
    CHECK(share(got[i].values(), Book(rounded, false), i) <= 1);
    CHECK(!(share(got[i].values(), Book(in, false), i) <= 1));
  }
}
CASE("attention: scores far from zero") { check_shape(Inputs(2, 1, 64, 0, {130}, 12)); }

namespace {
/// Scores around `sharpness`, where a query's softmax has one key: the query is that key, with noise that leaves it a rival or none; or
/// where all keys have a large part in common, which a row of d_s, as it sums to zero, must not see.
enum class Kind { normal, one_key, near_one_key, common_part };

Inputs saturated(Kind kind, double sharpness, int heads, int kv_heads, int D, int window, int64_t length) {
  Inputs in(heads, kv_heads, D, window, {length});
  book::Random random(41);
  const Tensor noise = random.normals(in.rows() * heads * D), common = random.normals(kv_heads * D);
  if (kind == Kind::common_part)
    for (size_t i = 0; i < in.k.size(); ++i) in.k[i] += 10 * common[i % common.size()];
  for (int64_t i = 0; i < in.rows(); ++i)
    for (int h = 0; h < heads; ++h) {
      const int64_t seen = window > 0 ? std::min<int64_t>(window, i + 1) : i + 1;
      const int64_t chosen = i - (i % 5 == 0 ? seen - 1 : static_cast<int64_t>(random.below(static_cast<uint32_t>(seen))));
      double norm = 0;
      for (int d = 0; d < D; ++d) norm += std::pow(in.k[(chosen * kv_heads + h / (heads / kv_heads)) * D + d], 2);
      for (int d = 0; d < D; ++d) {
        double& q = in.q[(i * heads + h) * D + d];
        if (kind == Kind::one_key || kind == Kind::near_one_key)
          q = in.k[(chosen * kv_heads + h / (heads / kv_heads)) * D + d] / norm * std::sqrt(D);
        if (kind == Kind::near_one_key) q += 0.3 / std::sqrt(D) * noise[(i * heads + h) * D + d];
        q *= sharpness;
      }
    }
  return in;
}

/// Attention in float32 by the textbook, as PyTorch's eager mode has it: p = e^(s−m) / l, δ = Σ_j p_j·d_p_j; its dots run up or down.
/// `fused`: the shortcuts of fused kernels instead, p = e^(s − lse) with one float for lse, δ = d_o·o, summed in an order of its own.
enum class Textbook { up, down, fused };
std::vector<Tensor> float_attend(const Inputs& in, Textbook textbook) {
  const bool fused = textbook == Textbook::fused;
  const auto [H, G, D, scale, window, soft_cap, slopes, sum_delta] = in.shape;
  const auto narrow = [](const Tensor& x) { return std::vector<float>(x.begin(), x.end()); };
  const std::vector<float> q = narrow(in.q), k = narrow(in.k), v = narrow(in.v), d_o = narrow(in.d_o);
  std::vector<float> o(q.size()), d_q(q.size()), d_k(k.size()), d_v(v.size());
  const auto dot = [&](const float* a, const float* b) {
    float sum = 0;
    for (int d = 0; d < D; ++d) sum += textbook == Textbook::down ? a[D - 1 - d] * b[D - 1 - d] : a[d] * b[d];
    return sum;
  };
  for (int64_t i = 0; i < in.rows(); ++i)
    for (int h = 0; h < H; ++h) {
      const int64_t first = window > 0 ? std::max<int64_t>(0, i - window + 1) : 0, at = (i * H + h) * D;
      const auto key = [&](int64_t j) { return (j * G + h / (H / G)) * D; };
      std::vector<float> p, d_p;
      float m = -INFINITY, l = 0, delta = 0;
      for (int64_t j = first; j <= i; ++j) p.push_back(dot(&q[at], &k[key(j)]) * scale), m = std::max(m, p.back());
      for (float s : p) l += std::exp(s - m);
      const float lse = m + std::log(l);
      for (float& s : p) s = fused ? std::exp(s - lse) : std::exp(s - m) / l;
      for (int64_t j = first; j <= i; ++j)
        for (int d = 0; d < D; ++d) o[at + d] += p[j - first] * v[key(j) + d];
      for (int64_t j = first; j <= i; ++j) d_p.push_back(dot(&d_o[at], &v[key(j)])), delta += p[j - first] * d_p.back();
      if (fused) delta = 0;
      for (int d = fused ? D : 0; d-- > 0;) delta += d_o[at + d] * o[at + d];
      for (int64_t j = first; j <= i; ++j)
        for (int d = 0; d < D; ++d) {
          const float d_s = p[j - first] * (d_p[j - first] - delta) * scale;
          d_q[at + d] += d_s * k[key(j) + d];
          d_k[key(j) + d] += d_s * q[at + d];
          d_v[key(j) + d] += p[j - first] * d_o[at + d];
        }
    }
  const auto widen = [](const std::vector<float>& x) { return Tensor(x.begin(), x.end()); };
  return {widen(o), {}, widen(d_q), widen(d_k), widen(d_v)};
}

double distance(const Tensor& got, const Tensor& want) {
  double sum = 0;
  for (size_t i = 0; i < got.size(); ++i) sum += (got[i] - want[i]) * (got[i] - want[i]);
  return std::sqrt(sum);
}

double norm(const Tensor& x) { return distance(x, Tensor(x.size())); }

/// What gradients by float32 may err by: twice the textbook's error (the worse of its two orders), the rounding of the result, and what
/// float64 itself leaves of a sum of `terms` that cancel.
class TextbookBound {
 public:
  TextbookBound(const Inputs& in, const std::vector<Tensor>& want, double terms) : want_(want) {
    const std::vector<Tensor> up = float_attend(in, Textbook::up), down = float_attend(in, Textbook::down);
    for (size_t i = 2; i < 5; ++i) {
      const double textbook = std::max(distance(up[i], want[i]), distance(down[i], want[i]));
      allowed_[i] = 2 * textbook + 1e-7 * norm(want[i]) + 1e-16 * terms * std::sqrt(static_cast<double>(want[i].size()));
    }
  }
  /// The largest error of d_q, d_k, d_v in units of what is allowed.
  double share(const std::vector<Tensor>& got) const {
    double worst = 0;
    for (size_t i = 2; i < 5; ++i) worst = book::worse(worst, distance(got[i], want_[i]) / allowed_[i]);
    return worst;
  }

 private:
  const std::vector<Tensor>& want_;
  std::array<double, 5> allowed_{};
};
}  // namespace

CASE("attention f32: from flat to saturated, gradients within twice the error of the textbook in float32") {
  double worst = 0;
  for (Kind kind : {Kind::normal, Kind::one_key, Kind::near_one_key, Kind::common_part})
    for (double sharpness : {1, 10, 30, 100, 300, 1000})
      for (auto [heads, kv_heads, D, window, length] :
           {std::tuple<int, int, int, int, int64_t>{2, 1, 64, 0, 130}, {2, 2, 128, 40, 70}, {1, 1, 64, 0, 257}}) {
        const Inputs in = saturated(kind, sharpness, heads, kv_heads, D, window, length);
        const std::vector<Tensor> want = book_attend(in, true);
        const TextbookBound bound(in, want, sharpness * D);
        for (Isa isa : check::levels())
          for (int threads : {1, 2}) {
            CpuBackend backend(Compute::f32, threads, isa);
            std::vector<Tensor> got;
            for (Numbers& numbers : attend(backend, true, in)) got.push_back(numbers.values());
            const double error = bound.share(got);
            CHECK_LE(error, 1);
            worst = book::worse(worst, error);
          }
      }
  std::printf("# worst error %.2f of what is allowed\n", worst);
}

CASE("attention f32: where one key has everything, the gradients of q and k are zero to the bit") {
  for (int D : {48, 64, 128}) {
    const Inputs in = saturated(Kind::one_key, 1000, 2, 1, D, 0, 130);
    for (Isa isa : check::levels()) {
      CpuBackend backend(Compute::f32, 2, isa);
      std::vector<Numbers> got = attend(backend, true, in);
      CHECK(norm(got[2].values()) == 0);
      CHECK(norm(got[3].values()) == 0);
      CHECK(norm(got[4].values()) > 1);
    }
  }
}

CASE("attention f32: where one key has most of a row, what is left of the row's sum is taken back from it, in either half") {
  // The last component of every key is C and that of every query 0: it changes no score, and of d_q it is scale·C·Σ_j d_s_ij, zero but for
  // the order of its sum: n terms give at most n·2⁻²⁴·Σ_j |d_s_ij|. A δ rounded to float32 would leave 2⁻²⁴·|d_p|, here a thousand times
  // more.
  constexpr int64_t length = 257;
  constexpr int D = 64;
  constexpr double C = 64;
  // Rows at which a block of keys begins have their own key, the first and only one of a half's, as their largest.
  Inputs in = saturated(Kind::near_one_key, 30, 2, 1, D, 0, length);
  for (int64_t i = 64; i < length; i += 64)
    for (int h = 0; h < 2; ++h) {
      double norm = 0;
      for (int d = 0; d < D; ++d) norm += in.k[i * D + d] * in.k[i * D + d];
      for (int d = 0; d < D; ++d) in.q[(i * 2 + h) * D + d] = 30 * std::sqrt(D) * in.k[i * D + d] / norm;
    }
  for (size_t i = D - 1; i < in.q.size(); i += D) in.q[i] = 0;
  for (size_t i = D - 1; i < in.k.size(); i += D) in.k[i] = C;
  const double scale = in.shape.scale;
  for (Isa isa : check::levels())
    for (int threads : {1, 2}) {
      CpuBackend backend(Compute::f32, threads, isa);
      const Tensor d_q = attend(backend, true, in)[2].values();
      int saturated_rows = 0;
      for (int64_t i = 0; i < length; ++i)
        for (int h = 0; h < 2; ++h) {
          const double *q = &in.q[(i * 2 + h) * D], *d_o = &in.d_o[(i * 2 + h) * D];
          Tensor p, d_p;
          double largest = -INFINITY, sum = 0, delta = 0, absolute = 0;
          for (int64_t j = 0; j <= i; ++j) {
            double score = 0, gradient = 0;
            for (int d = 0; d < D; ++d) score += q[d] * in.k[j * D + d] * scale, gradient += d_o[d] * in.v[j * D + d];
            p.push_back(score), d_p.push_back(gradient), largest = std::max(largest, score);
          }
          for (double& x : p) sum += x = std::exp(x - largest);
          for (int64_t j = 0; j <= i; ++j) delta += p[j] / sum * d_p[j];
          for (int64_t j = 0; j <= i; ++j) absolute += std::abs(p[j] / sum * (d_p[j] - delta));
          if (i == 0 || 1 / sum < 0.9) continue;
          ++saturated_rows;
          CHECK_LE(std::abs(d_q[(i * 2 + h) * D + D - 1]) / (scale * C), (i + 1) * (0x1p-24 * absolute + 0x1p-126));
        }
      CHECK(saturated_rows > length / 4);
    }
}

CASE("canary: the shortcuts of fused kernels are called wrong where the softmax saturates") {
  for (Kind kind : {Kind::one_key, Kind::near_one_key}) {
    const Inputs in = saturated(kind, 300, 2, 1, 64, 0, 130);
    const std::vector<Tensor> want = book_attend(in, true);
    CHECK(!(TextbookBound(in, want, 300 * 64).share(float_attend(in, Textbook::fused)) <= 1));
  }
}

CASE("attention: packed sequences give the bits they give alone") {
  const Inputs in(4, 2, 48, 40, {17, 1, 130, 64, 65});
  for (Compute compute : {Compute::f32, Compute::bf16})
    for (Isa isa : check::levels()) {
      CpuBackend backend(compute, 2, isa);
      std::vector<Numbers> packed = attend(backend, compute == Compute::f32, in);
      const int64_t widths[5] = {4 * 48, 4, 4 * 48, 2 * 48, 2 * 48};
      for (size_t sequence = 0; sequence + 1 < in.offsets.size(); ++sequence) {
        std::vector<Numbers> alone = attend(backend, compute == Compute::f32, in.only(sequence));
        for (size_t i = 0; i < 5; ++i) CHECK(packed[i].holds(in.offsets[sequence] * widths[i], alone[i]));
      }
    }
}

CASE("attention: the rows before do not depend on the rows after") {
  const Inputs whole(2, 1, 64, 0, {200});
  Inputs part = whole;
  part.offsets = {0, 150};
  for (Tensor* tensor : {&part.q, &part.d_o}) tensor->resize(150 * 2 * 64);
  for (Tensor* tensor : {&part.k, &part.v}) tensor->resize(150 * 64);
  for (Compute compute : {Compute::f32, Compute::bf16})
    for (Isa isa : check::levels()) {
      CpuBackend backend(compute, 1, isa);
      std::vector<Numbers> all = attend(backend, compute == Compute::f32, whole), some = attend(backend, compute == Compute::f32, part);
      CHECK(all[0].holds(0, some[0]));
      CHECK(all[1].holds(0, some[1]));
    }
}

CASE("attention_decode: the newest row against a cache") {
  static constexpr float slopes[] = {0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f, 0.03125f, 0.0078125f, 0.7f};
  for (auto [heads, kv_heads, D, window, T, alibi] : {std::tuple<int, int, int, int, int64_t, bool>{4, 2, 64, 0, 1, false},
                                                      {4, 2, 64, 0, 33, false},
                                                      {9, 3, 48, 0, 200, false},
                                                      {9, 9, 48, 0, 200, true},
                                                      {4, 2, 64, 0, 1, true},
                                                      {3, 1, 80, 9, 31, true},
                                                      {2, 2, 80, 9, 31, false},
                                                      {2, 1, 7, 9, 5, false}}) {
    const Inputs in = Inputs(heads, kv_heads, D, window, {T}).leaning(alibi ? slopes : nullptr);
    const int64_t width = static_cast<int64_t>(heads) * D;
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers q(f32, Tensor(in.q.end() - width, in.q.end())), k(f32, in.k), v(f32, in.v), o(f32, width);
          backend.attention_decode(in.shape, T, q.data(), k.data(), v.data(), o.data());
          return std::vector<Numbers>{o};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          const Tensor o = book_attend(in, f32)[0];
          CHECK_LE(check::scaled_error(got[0].values(), Tensor(o.end() - width, o.end())), check::rounding(f32));
        });
  }
}

CASE("attention: NaN in one sequence stays there") {
  Inputs in(2, 1, 32, 0, {20, 40});
  in.k[25 * 32] = NAN;
  for (Isa isa : check::levels()) {
    CpuBackend backend(Compute::bf16, 1, isa);
    std::vector<Numbers> got = attend(backend, false, in);
    const Tensor o = got[0].values(), d_k = got[3].values();
    for (size_t i = 0; i < 20 * 64; ++i) CHECK(std::isfinite(o[i]));
    for (size_t i = 0; i < 20 * 32; ++i) CHECK(std::isfinite(d_k[i]));
    CHECK(std::isnan(o[59 * 64]));
  }
}

CASE("attention runs the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::attention_forward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::attention_forward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::attention_backward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::attention_decode);
  std::printf("# worst shares of what is allowed of o, lse, d_q, d_k, d_v\n");
  for (bool f32 : {true, false}) {
    std::printf("#   %s", f32 ? "f32 " : "bf16");
    for (double worst : worst_ever[f32]) std::printf(" %.2f", worst);
    std::printf("\n");
  }
}

CASE("canary: a window one too wide, a wrong kv head and a wrong slope are found") {
  static constexpr float slopes[] = {0.25f, 0.0625f, 0.015625f, 0.00390625f}, others[] = {0.25f, 0.0625f, 0.0625f, 0.00390625f};
  const Inputs in = Inputs(4, 2, 32, 9, {40}).leaning(slopes), steep = in.leaning(others);
  CpuBackend backend(Compute::bf16, 1, detect_isa());
  std::vector<Numbers> got = attend(backend, false, in);
  Inputs wide = in, grouped = in;
  wide.shape.window = 10;
  grouped.shape.kv_heads = 1;
  CHECK(share(got[0].values(), Book(in, false), 0) <= 1);
  CHECK(!(share(got[0].values(), Book(wide, false), 0) <= 1));
  CHECK(!(share(got[0].values(), Book(grouped, false), 0) <= 1));
  CHECK(!(share(got[0].values(), Book(steep, false), 0) <= 1));
  for (size_t i = 2; i < 5; ++i) {  // a gradient that is two hundredths too large
    Tensor spoilt = got[i].values();
    CHECK(share(spoilt, Book(in, false), i) <= 1);
    for (double& value : spoilt) value *= 1.02;
    CHECK(!(share(spoilt, Book(in, false), i) <= 1));
  }
}

TEST_MAIN()
