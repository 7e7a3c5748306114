// Attention against the book: forward, backward, one row against a cache.
#include "cuda_check.h"

#include "backend/cuda/launch/attention.h"
#include "ref/attention_ref.h"

using namespace fedlora;
using check::DeviceNumbers;
using check::Tensor;
using cuda::Element;
using cuda::Queue;

namespace {

float* floats(const DeviceNumbers& numbers) { return numbers.DeviceBytes::data<float>(); }

struct Inputs {
  AttentionShape shape;
  Element element;
  std::vector<int64_t> offsets{0};
  Tensor q, k, v, d_o;  // as stored

  Inputs(Element element, int heads, int kv_heads, int D, int window, const std::vector<int64_t>& lengths)
      : shape{heads, kv_heads, D, static_cast<float>(1 / std::sqrt(D)), window}, element(element) {
    for (int64_t length : lengths) offsets.push_back(offsets.back() + length);
    book::Random random(20);
    const auto numbers = [&](int64_t count) { return DeviceNumbers(element, random.normals(count)).values(); };
    q = numbers(rows() * heads * D), k = numbers(rows() * kv_heads * D), v = numbers(rows() * kv_heads * D);
    d_o = numbers(rows() * heads * D);
  }
  int64_t rows() const { return offsets.back(); }
};

struct Results {
  Tensor o, lse, d_q, d_k, d_v;
};

Results from_book(const Inputs& in) {
  Results r{Tensor(in.q.size()), Tensor(static_cast<size_t>(in.rows() * in.shape.heads)), Tensor(in.q.size()), Tensor(in.k.size()),
            Tensor(in.k.size())};
  ref::attention_forward<double>(in.shape, in.offsets, in.q.data(), in.k.data(), in.v.data(), r.o.data(), r.lse.data());
  ref::attention_backward<double>(in.shape, in.offsets, in.q.data(), in.k.data(), in.v.data(), in.d_o.data(), r.d_q.data(), r.d_k.data(),
                                  r.d_v.data());
  return r;
}

Results from_device(const Inputs& in, const Queue& queue, check::Outputs& outputs) {
  const int64_t q_count = static_cast<int64_t>(in.q.size()), k_count = static_cast<int64_t>(in.k.size());
  const DeviceNumbers q(in.element, in.q), k(in.element, in.k), v(in.element, in.v), d_o(in.element, in.d_o);
  DeviceNumbers o(in.element, q_count), lse(Element::f32, 2 * in.rows() * in.shape.heads), d_q(in.element, q_count),
      d_k(in.element, k_count), d_v(in.element, k_count);
  const std::vector<cuda::AttentionTile> list = cuda::attention_tiles(in.offsets, cuda::attention_tile_rows(queue, in.shape, in.element));
  const check::DeviceArray<cuda::AttentionTile> tiles(list);
  const auto count = static_cast<int64_t>(list.size());
  check::DeviceBytes workspace(cuda::attention_backward_workspace(in.rows(), in.shape, in.element));
  cuda::attention_forward(queue, in.shape, count, tiles.data(), q.data(), k.data(), v.data(), o.data(), floats(lse), in.element);
  cuda::attention_backward(queue, in.shape, in.rows(), count, tiles.data(), q.data(), k.data(), v.data(), o.data(), floats(lse), d_o.data(),
                           d_q.data(), d_k.data(), d_v.data(), in.element, workspace.data());
  for (const auto& [name, numbers] : {std::pair{"o", &o}, {"lse", &lse}, {"d_q", &d_q}, {"d_k", &d_k}, {"d_v", &d_v}})
    outputs.keep(name, *numbers);
  CHECK(workspace.intact());
  const Tensor pairs = lse.values();
  Tensor sums;
  for (size_t i = 0; i < pairs.size(); i += 2) sums.push_back(pairs[i] + pairs[i + 1]);
  return {o.values(), sums, d_q.values(), d_k.values(), d_v.values()};
}

/// f32: sums of up to a hundred terms. bf16: o is rounded once and δ is of the rounded o; what is summed is of bf16's own numbers.
double bound(Element element) { return element == Element::f32 ? 3e-6 : 2 * check::bf16_unit; }

}  // namespace

namespace {

struct Shape {
  int heads, kv_heads, D, window;
  std::vector<int64_t> lengths;
};

/// Multiplication by warps on every architecture, by warpgroups on sm_90; f32 has one way.
std::initializer_list<int> architectures(Element element) {
  static constexpr std::initializer_list<int> one = {80}, both = {80, 90};
  return element == Element::f32 ? one : both;
}

void compare(Element element, const Shape& shape) {
  const Inputs in(element, shape.heads, shape.kv_heads, shape.D, shape.window, shape.lengths);
  const Results want = from_book(in);
  check::each_device(architectures(element), [&](const Queue& queue, check::Outputs& outputs) {
    const Results got = from_device(in, queue, outputs);
    CHECK_LE(check::scaled_error(got.o, want.o), bound(element));
    CHECK_LE(check::scaled_error(got.lse, want.lse, 1), 2e-6);
    CHECK_LE(check::scaled_error(got.d_q, want.d_q, 1), bound(element));
    CHECK_LE(check::scaled_error(got.d_k, want.d_k, 1), bound(element));
    CHECK_LE(check::scaled_error(got.d_v, want.d_v, 1), bound(element));
  });
}

}  // namespace

CASE("forward and backward: packed sequences, groups of heads, windows, head_dim of all kinds") {
  for (const Shape& shape : {Shape{1, 1, 1, 0, {1}},
                             {2, 1, 8, 0, {3, 1, 40}},
                             {2, 2, 33, 7, {33, 0, 50}},
                             {4, 2, 64, 0, {31, 5}},
                             {1, 1, 80, 40, {70}},
                             {1, 1, 256, 0, {34}}})
    compare(Element::f32, shape);
  for (const Shape& shape : {Shape{1, 1, 1, 0, {1}}, {2, 2, 33, 7, {33, 0, 50}}}) compare(Element::bf16, shape);
}

CASE("tensor cores: short sequences") {
  for (const Shape& shape : {Shape{1, 1, 8, 0, {1}}, {2, 1, 24, 5, {3, 0, 40}}, {32, 8, 8, 0, {5}}}) compare(Element::bf16, shape);
}

CASE("tensor cores: every padded width, groups of heads, windows, lengths around a tile") {
  for (const Shape& shape :
       {Shape{3, 1, 64, 0, {150, 3}}, {2, 2, 80, 33, {129}}, {2, 1, 128, 0, {63, 65}}, {4, 2, 128, 70, {200}}, {1, 1, 256, 40, {132}}})
    compare(Element::bf16, shape);
}

CASE("a sequence gives the same bits alone and behind another") {
  for (const Element element : {Element::f32, Element::bf16}) {
    const Inputs both(element, 2, 1, 8, 5, {13, 141});
    Inputs second = both;
    second.offsets = {0, 141};
    const auto rest = [](const Tensor& values, int64_t from) { return Tensor(values.begin() + from, values.end()); };
    second.q = rest(both.q, 13 * 16), second.d_o = rest(both.d_o, 13 * 16), second.k = rest(both.k, 13 * 8),
    second.v = rest(both.v, 13 * 8);
    check::each_device(architectures(element), [&](const Queue& queue, check::Outputs&) {
      check::Outputs one, other;
      const Results packed = from_device(both, queue, one), alone = from_device(second, queue, other);
      CHECK(rest(packed.o, 13 * 16) == alone.o && rest(packed.d_q, 13 * 16) == alone.d_q);
      CHECK(rest(packed.d_k, 13 * 8) == alone.d_k && rest(packed.d_v, 13 * 8) == alone.d_v);
    });
  }
}

CASE("a number that is none spoils the rows that see it, and no other sequence") {
  for (const Element element : {Element::f32, Element::bf16}) {
    Inputs in(element, 2, 1, 8, 0, {20, 70, 20});
    in.k[(20 + 40) * 8] = NAN;  // row 40 of the second sequence
    const Results clean = from_book(Inputs(element, 2, 1, 8, 0, {20, 70, 20}));
    check::each_device(architectures(element), [&](const Queue& queue, check::Outputs& outputs) {
      const Results got = from_device(in, queue, outputs);
      for (int64_t row = 0; row < in.rows(); ++row)
        for (int64_t d = 0; d < 16; ++d) {
          const size_t at = static_cast<size_t>(row * 16 + d);
          if (row >= 60 && row < 90) CHECK(std::isnan(got.o[at]) && std::isnan(got.d_q[at]));
          if (row < 20 || row >= 90) CHECK_LE(std::fabs(got.o[at] - clean.o[at]), bound(element) * 4);
        }
      for (int64_t i = 0; i < 20 * 8; ++i)
        CHECK(std::isfinite(got.d_k[static_cast<size_t>(i)]) && std::isfinite(got.d_v[static_cast<size_t>(i)]));
    });
  }
}

CASE("scores of many hundreds: one key has all the weight") {
  for (const Element element : {Element::f32, Element::bf16}) {
    Inputs in(element, 2, 1, 64, 0, {90});
    in.shape.scale = 20;
    const Results want = from_book(in);
    check::each_device(architectures(element), [&](const Queue& queue, check::Outputs& outputs) {
      const Results got = from_device(in, queue, outputs);
      CHECK_LE(check::scaled_error(got.o, want.o), bound(element) * 10);
      CHECK_LE(check::scaled_error(got.lse, want.lse), 1e-6);
      CHECK_LE(check::scaled_error(got.d_v, want.d_v, 1), bound(element) * 10);
    });
  }
}

CASE("decode: the newest row against a cache of every length") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const int64_t T : {1, 31, 33, 300})
      for (const int window : {0, 40}) {
        const Inputs in(element, 4, 2, 33, window, {T});
        const Results want = from_book(in);
        const int64_t width = 4 * 33;
        check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
          const DeviceNumbers q(element, Tensor(in.q.end() - width, in.q.end())), k(element, in.k), v(element, in.v);
          DeviceNumbers o(element, width);
          cuda::attention_decode(queue, in.shape, T, q.data(), k.data(), v.data(), o.data(), element);
          outputs.keep("o", o);
          CHECK_LE(check::scaled_error(o.values(), Tensor(want.o.end() - width, want.o.end())), bound(element));
        });
      }
}

CUDA_TEST_MAIN()
