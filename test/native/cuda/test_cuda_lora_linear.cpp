// Linear layers with adapters, forward and backward, against the book.
#include <memory>

#include "cuda_check.h"

#include "backend/cuda/launch/lora_linear.h"
#include "ref/lora_linear_ref.h"

using namespace fedlora;
using check::Tensor;
using cuda::Direction;
using cuda::Element;
using cuda::Queue;

namespace {

struct Shape {
  int64_t M, K;
  std::vector<int64_t> N;  // one a target
  std::vector<int> ranks;  // one a segment
  float dropout = 0;
  std::vector<int> frozen = {};  // one a segment; empty: none
};

/// What goes in and what must come out, in double. f32 factors of the adapters; activations as the element holds them.
struct Problem {
  Shape shape;
  Element element;
  int64_t h_stride = 0;
  std::vector<std::pair<int64_t, int64_t>> rows;  // [segment]
  Tensor x;
  std::vector<Tensor> W, bias, d_y;                     // [target]
  std::vector<std::vector<Tensor>> A, B, A_res, B_res;  // [segment][target]
  std::vector<Tensor> h, y;                             // [target]
  std::vector<std::vector<Tensor>> d_A, d_B;            // [segment][target]
  Tensor d_x;

  Problem(Element element, Shape given) : shape(std::move(given)), element(element) {
    book::Random random(31);
    const auto activations = [&](int64_t count, double size) {
      return check::DeviceNumbers(element, random.normals(count, size)).values();
    };
    const auto factors = [&](int64_t count, double size) {
      return check::DeviceNumbers(Element::f32, random.normals(count, size)).values();
    };
    const int64_t segments = static_cast<int64_t>(shape.ranks.size());
    x = activations(shape.M * shape.K, 1);
    for (const int64_t N : shape.N) {
      W.push_back(activations(N * shape.K, 0.1));
      bias.push_back(factors(N, 1));
      d_y.push_back(activations(shape.M * N, 1));
    }
    for (int64_t s = 0; s < segments; ++s) {  // gaps before, between and behind where there is room
      const int64_t each = shape.M / (segments + 1), gap = each > 1 ? 1 : 0;
      rows.emplace_back(s * each + gap, s + 1 == segments && shape.M < 3 ? shape.M : (s + 1) * each);
      if (rows.back().second <= rows.back().first) rows.back() = {s, std::min(shape.M, s + 1)};
      A.emplace_back(), B.emplace_back(), A_res.emplace_back(), B_res.emplace_back();
      for (const int64_t N : shape.N) {
        A.back().push_back(factors(shape.ranks[at(s)] * shape.K, 0.1));
        B.back().push_back(factors(N * shape.ranks[at(s)], 0.1));
        A_res.back().push_back(factors(frozen(s) * shape.K, 0.1));
        B_res.back().push_back(factors(N * frozen(s), 0.1));
      }
      h_stride = std::max<int64_t>(h_stride, (shape.ranks[at(s)] + 1) / 2 * 2);
    }
    solve();
  }
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  int frozen(int64_t s) const { return shape.frozen.empty() ? 0 : shape.frozen[at(s)]; }
  float scaling(int64_t s) const { return 1.5f / static_cast<float>(s + 1); }

  std::vector<ref::Adapter<double>> adapters(size_t t) {
    std::vector<ref::Adapter<double>> all;
    for (size_t s = 0; s < rows.size(); ++s) {
      ref::Adapter<double> a{rows[s].first,  rows[s].second, shape.ranks[s], scaling(static_cast<int64_t>(s)),
                             A[s][t].data(), B[s][t].data()};
      if (shape.ranks[s] > 0) a.d_A = d_A[s][t].data(), a.d_B = d_B[s][t].data();
      a.dropout = shape.dropout;
      a.dropout_seed = 77;
      a.dropout_stream = 10 * s + t;
      a.frozen_rank = shape.ranks[s] > 0 ? frozen(static_cast<int64_t>(s)) : 0;
      a.A_res = A_res[s][t].data();
      a.B_res = B_res[s][t].data();
      all.push_back(a);
    }
    return all;
  }

 private:
  void solve() {
    d_A.resize(rows.size());
    d_B.resize(rows.size());
    d_x.resize(x.size());
    for (size_t t = 0; t < W.size(); ++t) {
      const int64_t N = shape.N[t];
      for (size_t s = 0; s < rows.size(); ++s) {
        d_A[s].push_back(Tensor(A[s][t].size(), 0.25));  // what is there already
        d_B[s].push_back(Tensor(B[s][t].size(), -0.5));
      }
      h.emplace_back(at(shape.M * h_stride));
      y.emplace_back(at(shape.M * N));
      Tensor part(x.size());
      const auto all = adapters(t);
      ref::lora_linear_forward<double>(shape.M, N, shape.K, x.data(), W[t].data(), bias[t].data(), all, h[t].data(), h_stride, y[t].data());
      ref::lora_linear_backward<double>(shape.M, N, shape.K, x.data(), W[t].data(), all, h[t].data(), h_stride, d_y[t].data(), part.data());
      for (size_t i = 0; i < part.size(); ++i) d_x[i] += part[i];
    }
  }
};

/// A problem's operands on the device, and its calls.
struct Device {
  Problem& p;
  check::DeviceNumbers x;
  std::vector<std::unique_ptr<check::DeviceNumbers>> kept;
  std::vector<std::unique_ptr<cuda::DeviceMatrix>> matrices;
  std::vector<cuda::TargetView> targets;
  std::vector<std::vector<LoraPair>> pairs;  // [segment][target]
  std::vector<cuda::SegmentView> segments;
  std::vector<check::DeviceNumbers*> h, y;
  std::vector<std::vector<check::DeviceNumbers*>> d_A, d_B;

  Device(Problem& p, bool gradients) : p(p), x(p.element, p.x) {
    const auto place = [&](Element element, const Tensor& values) {
      kept.push_back(std::make_unique<check::DeviceNumbers>(element, values));
      return kept.back().get();
    };
    const auto floats = [&](const Tensor& values) { return static_cast<float*>(place(Element::f32, values)->data()); };
    for (size_t t = 0; t < p.W.size(); ++t) {
      const int64_t N = p.shape.N[t];
      matrices.push_back(std::make_unique<cuda::DeviceMatrix>(cuda::DeviceMatrix{p.element == Element::f32 ? Format::f32 : Format::bf16, N,
                                                                                 p.shape.K, 0, place(p.element, p.W[t])->data(), nullptr}));
      h.push_back(place(p.element, Tensor(p.h[t].size(), NAN)));
      y.push_back(place(p.element, Tensor(p.y[t].size(), NAN)));
      targets.push_back(
          {matrices.back().get(), floats(p.bias[t]), y.back()->data(), h.back()->data(), p.h_stride, place(p.element, p.d_y[t])->data()});
    }
    pairs.resize(p.rows.size());
    for (size_t s = 0; s < p.rows.size(); ++s) {
      d_A.emplace_back(), d_B.emplace_back();
      for (size_t t = 0; t < p.W.size(); ++t) {
        LoraPair pair;
        d_A.back().push_back(place(Element::f32, Tensor(p.A[s][t].size(), 0.25)));
        d_B.back().push_back(place(Element::f32, Tensor(p.B[s][t].size(), -0.5)));
        pair.rank = p.shape.ranks[s];
        if (pair.rank > 0) {
          pair.scaling = p.scaling(static_cast<int64_t>(s));
          pair.A = floats(p.A[s][t]);
          pair.B = floats(p.B[s][t]);
          if (gradients) {
            pair.d_A = static_cast<float*>(d_A.back().back()->data());
            pair.d_B = static_cast<float*>(d_B.back().back()->data());
          }
          pair.dropout = p.shape.dropout;
          pair.dropout_seed = 77;
          pair.dropout_stream = 10 * s + t;
          if (p.frozen(static_cast<int64_t>(s)) > 0)
            pair.frozen = {p.frozen(static_cast<int64_t>(s)), floats(p.A_res[s][t]), floats(p.B_res[s][t])};
        }
        pairs[s].push_back(pair);
      }
    }
    for (size_t s = 0; s < p.rows.size(); ++s)
      segments.push_back({p.rows[s].first, p.rows[s].second, {pairs[s].data(), static_cast<int64_t>(pairs[s].size())}});
  }
  cuda::View<const cuda::TargetView> target_view() const { return {targets.data(), static_cast<int64_t>(targets.size())}; }
  cuda::View<const cuda::SegmentView> segment_view() const { return {segments.data(), static_cast<int64_t>(segments.size())}; }
  void forward(const Queue& queue) {
    const check::DeviceBytes workspace(cuda::lora_linear_workspace(Direction::forward, target_view(), segment_view(), p.element));
    cuda::lora_linear_forward(queue, p.shape.M, x.data(), target_view(), segment_view(), p.element, workspace.data());
    CHECK(workspace.intact());
  }
  void backward(const Queue& queue, void* d_x) {
    const check::DeviceBytes workspace(cuda::lora_linear_workspace(Direction::backward, target_view(), segment_view(), p.element));
    cuda::lora_linear_backward(queue, p.shape.M, x.data(), target_view(), segment_view(), d_x, p.element, workspace.data());
    CHECK(workspace.intact());
  }
};

void judge(const Shape& shape) {
  for (const Element element : {Element::f32, Element::bf16}) {
    Problem p(element, shape);
    // bf16: factors, h and d_h are rounded, too, each by half a unit of a part of the result.
    const double bound = element == Element::f32 ? 1e-5 : 2 * check::bf16_unit;
    check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
      Device device(p, true);
      check::DeviceNumbers d_x(element, p.shape.M * p.shape.K);
      device.forward(queue);
      device.backward(queue, d_x.data());
      outputs.keep("d_x", d_x);
      CHECK_LE(check::scaled_error(d_x.values(), p.d_x), bound);
      for (size_t t = 0; t < p.W.size(); ++t) {
        outputs.keep("y" + std::to_string(t), *device.y[t]);
        CHECK_LE(check::scaled_error(device.y[t]->values(), p.y[t]), bound);
        for (size_t s = 0; s < p.rows.size(); ++s) {
          outputs.keep("d_A" + std::to_string(s) + std::to_string(t), *device.d_A[s][t]);
          outputs.keep("d_B" + std::to_string(s) + std::to_string(t), *device.d_B[s][t]);
          CHECK_LE(check::scaled_error(device.d_A[s][t]->values(), p.d_A[s][t], 1), bound);
          CHECK_LE(check::scaled_error(device.d_B[s][t]->values(), p.d_B[s][t], 1), bound);
        }
      }
    });
  }
}

}  // namespace

CASE("lora_linear: one segment, one target") {
  judge({5, 24, {40}, {8}});
  judge({1, 7, {9}, {1}});
  judge({130, 72, {65}, {16}});
}

CASE("lora_linear: without adapters, and rows beside them") {
  judge({9, 16, {24, 8}, {}});
  judge({12, 33, {17}, {0, 3}});
}

CASE("lora_linear: several targets and segments, frozen factors, dropout") {
  judge({20, 40, {24, 16, 33}, {4, 7}, 0, {3, 0}});
  judge({21, 37, {24, 9}, {4, 8}, 0.3f});
  judge({40, 64, {48, 24, 8}, {3, 0, 16}, 0.25f, {5, 2, 9}});
}

CASE("lora_linear: more rows than a slice, ranks beyond a tile") { judge({1030, 8, {5}, {33}, 0.1f}); }

CASE("lora_linear: gradients and d_x that are not wanted") {
  Problem p(Element::f32, {20, 24, {16, 8}, {4, 3}});
  check::each_device({80}, [&](const Queue& queue, check::Outputs&) {
    Device device(p, true), frozen(p, false);
    device.forward(queue);
    frozen.forward(queue);
    device.pairs[0][0].d_A = nullptr;
    device.pairs[1][1].d_B = nullptr;
    device.backward(queue, nullptr);
    CHECK(device.d_A[0][0]->values() == Tensor(p.A[0][0].size(), 0.25) && device.d_B[1][1]->values() == Tensor(p.B[1][1].size(), -0.5));
    CHECK_LE(check::scaled_error(device.d_B[0][0]->values(), p.d_B[0][0], 1), 1e-5);
    CHECK_LE(check::scaled_error(device.d_A[1][1]->values(), p.d_A[1][1], 1), 1e-5);
    check::DeviceNumbers d_x(Element::f32, p.shape.M * p.shape.K);
    frozen.backward(queue, d_x.data());
    CHECK_LE(check::scaled_error(d_x.values(), p.d_x), 1e-5);
  });
}

CASE("lora_linear: a segment's rows have the bits that they have alone") {
  for (const Element element : {Element::f32, Element::bf16}) {
    Problem p(element, {40, 64, {48, 24}, {5, 16}, 0.25f, {3, 2}});
    check::each_device({80}, [&](const Queue& queue, check::Outputs&) {
      Device whole(p, true), alone(p, true);
      check::DeviceNumbers d_x(element, p.shape.M * p.shape.K), own(element, p.shape.M * p.shape.K);
      alone.segments.erase(alone.segments.begin());
      whole.forward(queue);
      whole.backward(queue, d_x.data());
      alone.forward(queue);
      alone.backward(queue, own.data());
      CHECK(whole.d_A[1][0]->read() == alone.d_A[1][0]->read() && whole.d_B[1][1]->read() == alone.d_B[1][1]->read());
      const Tensor a = whole.y[0]->values(), b = alone.y[0]->values(), c = d_x.values(), d = own.values();
      for (int64_t m = p.rows[1].first; m < p.rows[1].second; ++m) {
        for (int64_t n = 0; n < 48; ++n) CHECK(a[static_cast<size_t>(m * 48 + n)] == b[static_cast<size_t>(m * 48 + n)]);
        for (int64_t k = 0; k < 64; ++k) CHECK(c[static_cast<size_t>(m * 64 + k)] == d[static_cast<size_t>(m * 64 + k)]);
      }
    });
  }
}

CUDA_TEST_MAIN()
