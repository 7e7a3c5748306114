// Norms and rotary positions against the book.
#include "cuda_check.h"

#include "backend/cuda/launch/rms_norm.h"
#include "backend/cuda/launch/rope.h"
#include "ref/rms_norm_ref.h"
#include "ref/rope_ref.h"

using namespace fedlora;
using check::DeviceNumbers;
using check::Tensor;
using cuda::Element;
using cuda::Queue;

namespace {

float* floats(const DeviceNumbers& numbers) { return numbers.DeviceBytes::data<float>(); }

/// What a device would hold of these numbers.
Tensor stored(Element element, const Tensor& values) { return DeviceNumbers(element, values).values(); }

/// f32: sums of K terms by 32 lanes. bf16: one rounding of what was summed in f32.
double bound(Element element) { return element == Element::f32 ? 1e-6 : check::bf16_unit; }

constexpr std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {3, 32}, {3, 31}, {9, 64}, {17, 131}, {9, 576}, {3, 1032}, {2, 4104}};

}  // namespace

CASE("rms_norm: residual add, norm, rebuilt norm, gradient") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const auto& [M, K] : shapes)
      for (const bool with_delta : {false, true}) {
        book::Random random(3);
        const Tensor x = stored(Element::f32, random.normals(M * K)), weight = stored(Element::f32, random.normals(K));
        const Tensor delta = stored(element, random.normals(M * K)), d_y = stored(element, random.normals(M * K));
        const Tensor stream = stored(Element::f32, random.normals(M * K));
        Tensor sum = x, y(x.size()), rstd(static_cast<size_t>(M));
        ref::rms_norm_forward<double>(M, K, sum.data(), with_delta ? delta.data() : nullptr, weight.data(), 1e-5, y.data(), rstd.data());
        check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
          const DeviceNumbers w(Element::f32, weight), d(element, delta), gradient(element, d_y);
          DeviceNumbers in(Element::f32, x), out(element, M * K), r(Element::f32, M), saved(element, M * K), again(element, M * K);
          DeviceNumbers d_x(Element::f32, stream), copy(element, M * K);
          cuda::rms_norm_forward(queue, M, K, floats(in), with_delta ? d.data() : nullptr, floats(w), 1e-5f, out.data(), floats(r),
                                 saved.data(), element);
          cuda::rms_norm_rebuild(queue, M, K, saved.data(), floats(r), floats(w), again.data(), element);
          cuda::rms_norm_backward(queue, M, K, gradient.data(), saved.data(), floats(r), floats(w), floats(d_x), copy.data(), element);
          outputs.keep("x", in);
          outputs.keep("y", out);
          outputs.keep("rstd", r);
          outputs.keep("x_saved", saved);
          outputs.keep("rebuilt", again);
          outputs.keep("d_x", d_x);
          outputs.keep("d_x_copy", copy);
          CHECK_LE(check::scaled_error(in.values(), sum), 1e-7);
          CHECK_LE(check::scaled_error(out.values(), y), bound(element));
          CHECK_LE(check::scaled_error(again.values(), y), 2 * bound(element));
          CHECK_LE(check::scaled_error(r.values(), rstd), 1e-6);
          CHECK(saved.values() == stored(element, in.values()) && copy.values() == stored(element, d_x.values()));
          // The gradient is of what was saved and of the rstd that was given.
          Tensor want = stream;
          ref::rms_norm_backward<double>(M, K, d_y.data(), saved.values().data(), r.values().data(), weight.data(), want.data());
          CHECK_LE(check::scaled_error(d_x.values(), want), 1e-6);
        });
      }
}

CASE("row_norm: rows without a residual, in place") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const auto& [rows, width] : shapes) {
      book::Random random(4);
      const Tensor x = stored(element, random.normals(rows * width)), d_y = stored(element, random.normals(rows * width));
      const Tensor weight = stored(Element::f32, random.normals(width));
      Tensor copy = x, y(x.size()), rstd(static_cast<size_t>(rows)), d_x(x.size(), 0);
      ref::rms_norm_forward<double>(rows, width, copy.data(), nullptr, weight.data(), 1e-5, y.data(), rstd.data());
      ref::rms_norm_backward<double>(rows, width, d_y.data(), x.data(), rstd.data(), weight.data(), d_x.data());
      check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
        const DeviceNumbers w(Element::f32, weight), in(element, x);
        DeviceNumbers out(element, x), r(Element::f32, rows), gradient(element, d_y);
        cuda::row_norm_forward(queue, rows, width, out.data(), floats(w), 1e-5f, out.data(), floats(r), element);
        cuda::row_norm_backward(queue, rows, width, gradient.data(), in.data(), floats(r), floats(w), gradient.data(), element);
        outputs.keep("y", out);
        outputs.keep("d_x", gradient);
        CHECK_LE(check::scaled_error(out.values(), y), bound(element));
        CHECK_LE(check::scaled_error(r.values(), rstd), 1e-6);
        CHECK_LE(check::scaled_error(gradient.values(), d_x, check::largest(d_y)), bound(element));
      });
    }
}

CASE("rope: forward and back, positions out of order") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const auto& [heads, head_dim] : {std::pair{1, 2}, {3, 64}, {5, 6}})
      for (const bool inverse : {false, true}) {
        const int64_t M = 5;
        const std::vector<int32_t> positions{0, 7, 3, 3, 9};
        std::vector<double> cosine, sine;
        ref::rope_tables(10, ref::rope_frequencies(head_dim, 10000), cosine, sine);
        cosine = stored(Element::f32, cosine), sine = stored(Element::f32, sine);
        book::Random random(5);
        const Tensor x = stored(element, random.normals(M * heads * head_dim));
        Tensor want = x;
        ref::rope<double>(M, heads, head_dim, positions, cosine.data(), sine.data(), inverse, want.data());
        check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
          const DeviceNumbers c(Element::f32, cosine), s(Element::f32, sine);
          const check::DeviceArray<int32_t> at(positions);
          DeviceNumbers got(element, x);
          cuda::rope(queue, M, heads, head_dim, at.data(), floats(c), floats(s), inverse, got.data(), element);
          outputs.keep("x", got);
          CHECK_LE(check::scaled_error(got.values(), want), element == Element::f32 ? 3e-7 : check::bf16_unit);
        });
      }
}

CUDA_TEST_MAIN()
