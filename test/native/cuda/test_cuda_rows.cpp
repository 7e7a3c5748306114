// Rows picked, put back and looked up, and gated units, against the book.
#include "cuda_check.h"

#include "backend/cuda/launch/glu.h"
#include "backend/cuda/launch/rows.h"
#include "ref/embedding_ref.h"
#include "ref/glu_ref.h"

using namespace fedlora;
using check::Tensor;
using cuda::Element;
using cuda::Queue;

namespace {

/// Numbers that f32, f16 and bf16 hold, one of them subnormal in f16.
Tensor exact(int64_t count) {
  book::Random random(5);
  Tensor values;
  for (int64_t i = 0; i < count; ++i) values.push_back(to_f32(to_f16(to_f32(to_bf16(static_cast<float>(random.normal()))))));
  values[0] = 0x1p-20;
  return values;
}

}  // namespace

CASE("embedding_forward: rows of every plain format") {
  for (auto [M, K] : {std::pair<int64_t, int64_t>{1, 1}, {7, 31}, {65, 129}})
    for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
      const int64_t V = 50;
      const Tensor values = exact(V * K);
      std::vector<float> wide(values.begin(), values.end());
      std::vector<uint16_t> narrow;
      for (float value : wide) narrow.push_back(format == Format::f16 ? to_f16(value).bits : to_bf16(value).bits);
      std::vector<int32_t> ids;
      for (int64_t m = 0; m < M; ++m) ids.push_back(static_cast<int32_t>((m * 37) % V));
      Tensor want(static_cast<size_t>(M * K));
      ref::embedding_forward<double>(ids, K, values.data(), 1.5, want.data());
      check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
        const check::DeviceArray<float> wide_table(wide);
        const check::DeviceArray<uint16_t> narrow_table(narrow);
        const check::DeviceArray<int32_t> rows(ids);
        check::DeviceNumbers x(Element::f32, M * K);
        const void* data = format == Format::f32 ? static_cast<const void*>(wide_table.data()) : narrow_table.data();
        cuda::embedding_forward(queue, M, rows.data(), {format, V, K, 0, data, nullptr}, 1.5f, static_cast<float*>(x.DeviceBytes::data()));
        outputs.keep("x", x);
        CHECK_LE(check::scaled_error(x.values(), want), 0);  // a product by 1.5 of numbers of 8 places is exact
      });
    }
}

CASE("gather_rows and scatter_rows move rows and zero the rest: pieces of 16 and of 2 bytes") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const int64_t K : {1, 7, 33, 64, 1000}) {
      const int64_t M = 12;
      const std::vector<int32_t> rows{3, 0, 11, 7, 4};
      const Tensor values = exact(M * K);
      Tensor picked, back(static_cast<size_t>(M * K), 0);
      for (const int32_t row : rows)
        for (int64_t k = 0; k < K; ++k) {
          picked.push_back(values[static_cast<size_t>(row * K + k)]);
          back[static_cast<size_t>(row * K + k)] = picked.back();
        }
      check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
        const check::DeviceNumbers x(element, values);
        const check::DeviceArray<int32_t> wanted(rows);
        check::DeviceNumbers out(element, 5 * K), whole(element, M * K);
        cuda::gather_rows(queue, 5, K, wanted.data(), x.data(), out.data(), element);
        cuda::scatter_rows(queue, M, K, 5, wanted.data(), out.data(), whole.data(), element);
        outputs.keep("out", out);
        outputs.keep("whole", whole);
        CHECK(out.values() == picked && whole.values() == back);
      });
    }
}

CASE("glu: every activation, forward and backward, in place and with the value rebuilt") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const Activate kind : {Activate::silu, Activate::gelu_tanh, Activate::relu})
      for (const int64_t count : {1, 33, 1024, 2049, 4104}) {
        book::Random random(7);
        const auto stored = [&](Tensor values) { return check::DeviceNumbers(element, values).values(); };
        const Tensor gate = stored(random.normals(count, 2)), up = stored(random.normals(count)), d_h = stored(random.normals(count));
        Tensor h(gate.size()), d_gate(gate.size()), d_up(gate.size());
        ref::glu_forward<double>(kind, count, gate.data(), up.data(), h.data());
        ref::glu_backward<double>(kind, count, gate.data(), up.data(), d_h.data(), d_gate.data(), d_up.data());
        const double bound = element == Element::f32 ? 2e-6 /* of exp and a few products */ : check::bf16_unit;
        check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
          check::DeviceNumbers g(element, gate), u(element, up), d(element, d_h), value(element, count), again(element, count);
          cuda::glu_forward(queue, kind, count, g.data(), u.data(), value.data(), element);
          cuda::glu_backward(queue, kind, count, g.data(), u.data(), d.data(), g.data(), u.data(), again.data(), element);
          outputs.keep("h", value);
          outputs.keep("d_gate", g);
          outputs.keep("d_up", u);
          CHECK_LE(check::scaled_error(value.values(), h), bound);
          CHECK_LE(check::scaled_error(g.values(), d_gate), bound);
          CHECK_LE(check::scaled_error(u.values(), d_up), bound);
          CHECK(again.values() == value.values());
        });
      }
}

CUDA_TEST_MAIN()
