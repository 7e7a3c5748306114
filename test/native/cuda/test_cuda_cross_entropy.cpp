// Head and loss against the book.
#include "cuda_check.h"

#include "backend/cuda/launch/cross_entropy.h"
#include "ref/cross_entropy_ref.h"

using namespace fedlora;
using check::Tensor;
using cuda::DeviceMatrix;
using cuda::Element;
using cuda::Queue;

namespace {

struct Problem {
  int64_t M, V, K;
  Tensor x, head;
  std::vector<int32_t> targets;
  std::vector<float> scales;

  Problem(Element element, int64_t M, int64_t V, int64_t K, double size = 0.5) : M(M), V(V), K(K) {
    book::Random random(21);
    x = check::DeviceNumbers(element, random.normals(M * K, size)).values();
    head = check::DeviceNumbers(element, random.normals(V * K)).values();
    for (int64_t m = 0; m < M; ++m) {
      targets.push_back(static_cast<int32_t>((m * 7919) % V));
      scales.push_back(0.25f * static_cast<float>(m % 3));
    }
  }
};

/// Rows one by one, each with its scale.
void book_of(const Problem& p, double divider, Tensor& losses, std::vector<uint8_t>& correct, Tensor& d_x) {
  losses.resize(static_cast<size_t>(p.M));
  correct.resize(static_cast<size_t>(p.M));
  d_x.resize(p.x.size());
  for (int64_t m = 0; m < p.M; ++m)
    ref::linear_cross_entropy<double>(1, p.V, p.K, p.x.data() + m * p.K, p.head.data(), divider, {p.targets.data() + m, 1},
                                      static_cast<double>(p.scales[static_cast<size_t>(m)]), losses.data() + m, correct.data() + m,
                                      d_x.data() + m * p.K);
}

}  // namespace

CASE("linear_cross_entropy: losses, hits and gradient; evaluation alone") {
  for (const auto& [M, V, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 8, 16}, {5, 300, 24}, {130, 257, 40}, {3, 4104, 9}})
    for (const Element element : {Element::f32, Element::bf16})
      for (const float divider : {1.0f, 3.0f}) {
        const Problem p(element, M, V, K);
        Tensor losses, d_x;
        std::vector<uint8_t> correct;
        book_of(p, divider, losses, correct, d_x);
        check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
          const check::DeviceNumbers x(element, p.x), head(element, p.head);
          const check::DeviceArray<int32_t> targets(p.targets);
          const check::DeviceArray<float> scales(p.scales);
          const DeviceMatrix W{element == Element::f32 ? Format::f32 : Format::bf16, V, K, 0, head.data(), nullptr};
          for (const bool training : {true, false}) {
            check::DeviceArray<float> got_losses(static_cast<size_t>(M));
            check::DeviceArray<uint8_t> got_correct(static_cast<size_t>(M));
            check::DeviceNumbers got_d_x(element, M * K);
            const check::DeviceBytes workspace(cuda::cross_entropy_workspace(M, W, element, training));
            cuda::linear_cross_entropy(queue, M, x.data(), W, divider, targets.data(), training ? scales.data() : nullptr,
                                       got_losses.data(), got_correct.data(), training ? got_d_x.data() : nullptr, element,
                                       workspace.data());
            outputs.keep(training ? "losses" : "losses alone", got_losses);
            CHECK(workspace.intact() && got_correct.intact() && got_d_x.intact());
            const std::vector<float> floats = got_losses.values();
            CHECK_LE(check::scaled_error(Tensor(floats.begin(), floats.end()), losses), 2e-6);  // logits and exponentials in f32
            CHECK(got_correct.values() == correct);
            if (!training) continue;
            outputs.keep("d_x", got_d_x);
            // bf16: the gradient of the logits is rounded, and the sum over V of what it is multiplied by.
            CHECK_LE(check::scaled_error(got_d_x.values(), d_x), element == Element::f32 ? 1e-5 : 2 * check::bf16_unit);
          }
        });
      }
}

CASE("linear_cross_entropy: of equal logits the first counts; large ones overflow nothing; d_x over x") {
  Problem p(Element::f32, 4, 600, 2);
  std::fill(p.head.begin(), p.head.end(), 1.0);
  p.x = {1, 1, 300, 300, -300, -300, 0, 0};
  p.targets = {0, 0, 599, 0};
  p.head[2 * 599] = 1;
  Tensor losses, d_x;
  std::vector<uint8_t> correct;
  book_of(p, 1, losses, correct, d_x);
  check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
    check::DeviceNumbers x(Element::f32, p.x);
    const check::DeviceNumbers head(Element::f32, p.head);
    const check::DeviceArray<int32_t> targets(p.targets);
    const check::DeviceArray<float> scales(p.scales);
    const DeviceMatrix W{Format::f32, p.V, p.K, 0, head.data(), nullptr};
    check::DeviceArray<float> got(4);
    const check::DeviceBytes workspace(cuda::cross_entropy_workspace(4, W, Element::f32, true));
    check::DeviceArray<uint8_t> hits(4);
    cuda::linear_cross_entropy(queue, 4, x.data(), W, 1, targets.data(), scales.data(), got.data(), hits.data(), x.data(), Element::f32,
                               workspace.data());
    outputs.keep("d_x", x);
    CHECK((hits.values() == std::vector<uint8_t>{1, 1, 0, 1}) && hits.values() == correct);
    const std::vector<float> floats = got.values();
    CHECK_LE(check::scaled_error(Tensor(floats.begin(), floats.end()), losses), 2e-6);
    CHECK_LE(check::scaled_error(x.values(), d_x, 1), 1e-5);
  });
}

CASE("linear_cross_entropy: chunks of three rows, whose gradients go two by two, have the bits of all rows together") {
  constexpr int64_t M = 8, V = 264, K = 16, three_rows = 3 * 4 * V;
  for (const Element element : {Element::f32, Element::bf16}) {
    const Problem p(element, M, V, K);
    check::each_device({80, 90}, [&](const Queue& queue, check::Outputs&) {
      const check::DeviceNumbers x(element, p.x), head(element, p.head);
      const check::DeviceArray<int32_t> targets(p.targets);
      const check::DeviceArray<float> scales(p.scales);
      const DeviceMatrix W{element == Element::f32 ? Format::f32 : Format::bf16, V, K, 0, head.data(), nullptr};
      std::vector<uint8_t> bits[2];
      for (const bool chunks : {false, true}) {
        const int64_t budget = chunks ? three_rows : cuda::logits_budget;
        check::DeviceArray<float> losses(static_cast<size_t>(M));
        check::DeviceNumbers d_x(element, M * K);
        const check::DeviceBytes workspace(cuda::cross_entropy_workspace(M, W, element, true, budget));
        cuda::linear_cross_entropy(queue, M, x.data(), W, 1, targets.data(), scales.data(), losses.data(), nullptr, d_x.data(), element,
                                   workspace.data(), budget);
        CHECK(workspace.intact() && losses.intact() && d_x.intact());
        bits[chunks] = losses.read();
        const std::vector<uint8_t> gradient = d_x.read();
        bits[chunks].insert(bits[chunks].end(), gradient.begin(), gradient.end());
      }
      CHECK(bits[0] == bits[1]);
    });
  }
  CHECK(cuda::cross_entropy_rows(M, V, three_rows) == 3);
}

CASE("head_logits: a head that is decoded first") {
  const Problem p(Element::bf16, 3, 70, 33);
  Tensor want(static_cast<size_t>(p.M * p.V));
  ref::head_logits<double>(p.M, p.V, p.K, p.x.data(), p.head.data(), 2.0, want.data());
  check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
    const check::DeviceNumbers x(Element::bf16, p.x), head(Element::f32, p.head);
    const DeviceMatrix W{Format::f32, p.V, p.K, 0, head.data(), nullptr};
    const check::DeviceBytes workspace(cuda::head_logits_workspace(W, Element::bf16));
    check::DeviceArray<float> logits(want.size());
    cuda::head_logits(queue, p.M, x.data(), W, 2.0f, logits.data(), Element::bf16, workspace.data());
    outputs.keep("logits", logits);
    const std::vector<float> floats = logits.values();
    CHECK_LE(check::scaled_error(Tensor(floats.begin(), floats.end()), want), 2e-6);
  });
}

CASE("rows at once: what 256 MiB of logits allow, and one at least") {
  CHECK(cuda::cross_entropy_rows(10, 1000) == 10 && cuda::cross_entropy_rows(10000, 131072) == 512 &&
        cuda::cross_entropy_rows(10000, 128256) == 512);
  CHECK(cuda::cross_entropy_rows(5, int64_t{1} << 30) == 1);
}

CUDA_TEST_MAIN()
