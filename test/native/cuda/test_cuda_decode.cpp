// One row times a frozen matrix in every format, with factors beside it, against the book.
#include "cuda_check.h"

#include "backend/cuda/launch/matvec.h"
#include "quant/encode.h"
#include "quant/weight.h"
#include "ref/lora_linear_ref.h"

using namespace fedlora;
using check::DeviceNumbers;
using check::Tensor;
using cuda::Element;
using cuda::Queue;

namespace {

const float* floats(const DeviceNumbers& numbers) { return numbers.DeviceBytes::data<float>(); }
Tensor stored(Element element, const Tensor& values) { return DeviceNumbers(element, values).values(); }
/// f32: sums of a few hundred terms. bf16: one rounding of the result.
double bound(Element element) { return element == Element::f32 ? 1e-6 : check::bf16_unit; }

struct Weight {
  Matrix matrix;
  Tensor numbers;  // as the activations' type has them
  check::DeviceBytes data;
  check::DeviceArray<float> absmax;
  Weight(Matrix made, Element element)
      : matrix(std::move(made)),
        data(matrix.data.data(), matrix.data.size()),
        absmax(std::vector<float>(matrix.absmax.begin(), matrix.absmax.end())) {
    std::vector<float> values(static_cast<size_t>(matrix.elements()));
    decode(matrix, 0, matrix.elements(), values.data());
    numbers = stored(element, Tensor(values.begin(), values.end()));
  }
  cuda::DeviceMatrix device() const { return {matrix.format, matrix.N, matrix.K, matrix.block, data.data(), absmax.data()}; }
};

Matrix random_weight(Format format, int64_t N, int64_t K) {
  ThreadPool pool(1);
  const Tensor drawn = book::Random(9).normals(N * K);
  const std::vector<float> values(drawn.begin(), drawn.end());
  return encode_matrix(format, {DType::f32, {N, K}, values.data(), values.size() * sizeof(float)}, 64, false, pool);
}

}  // namespace

CASE("lora_linear_decode: every format, bias, trained and frozen factors, none") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::int8, Format::nf4, Format::fp4})
      for (const auto& [N, K] : {std::pair<int64_t, int64_t>{1, 1}, {9, 64}, {19, 333}})
        for (const bool factors : {false, true}) {
          const int R = 5, P = 40;
          book::Random random(11);
          const Tensor x = stored(element, random.normals(K)), bias = stored(Element::f32, random.normals(N));
          const Tensor A = stored(Element::f32, random.normals(R * K)), B = stored(Element::f32, random.normals(N * R));
          const Tensor A_res = stored(Element::f32, random.normals(P * K)), B_res = stored(Element::f32, random.normals(N * P));
          check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
            const Weight W(random_weight(format, N, K), element);
            ref::Adapter<double> adapter{0, 1, R, 0.5, A.data(), B.data()};
            adapter.frozen_rank = P, adapter.A_res = A_res.data(), adapter.B_res = B_res.data();
            Tensor want(static_cast<size_t>(N)), h(R);
            ref::lora_linear_forward<double>(1, N, K, x.data(), W.numbers.data(), bias.data(),
                                             std::span<const ref::Adapter<double>>(&adapter, factors ? 1 : 0), h.data(), R, want.data());
            const DeviceNumbers in(element, x), b(Element::f32, bias), a(Element::f32, A), up(Element::f32, B), a_res(Element::f32, A_res),
                up_res(Element::f32, B_res);
            DeviceNumbers y(element, N);
            LoraPair pair;
            if (factors) {
              pair.rank = R, pair.scaling = 0.5f, pair.A = floats(a), pair.B = floats(up);
              pair.frozen = {P, floats(a_res), floats(up_res)};
            }
            check::DeviceBytes workspace(cuda::lora_decode_workspace(pair));
            cuda::lora_linear_decode(queue, in.data(), W.device(), floats(b), pair, y.data(), element, workspace.data());
            outputs.keep("y", y);
            CHECK(workspace.intact());
            CHECK_LE(check::scaled_error(y.values(), want), bound(element));
          });
        }
}

CASE("head_logits_decode: logits in f32, divided") {
  for (const Element element : {Element::f32, Element::bf16}) {
    const int64_t V = 33, K = 130;
    const Tensor x = stored(element, book::Random(12).normals(K));
    check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
      const Weight head(random_weight(Format::bf16, V, K), element);
      Tensor want(V, 0);
      for (int64_t v = 0; v < V; ++v)
        for (int64_t k = 0; k < K; ++k)
          want[static_cast<size_t>(v)] += x[static_cast<size_t>(k)] * head.numbers[static_cast<size_t>(v * K + k)] / 4;
      const DeviceNumbers in(element, x);
      DeviceNumbers logits(Element::f32, V);
      cuda::head_logits_decode(queue, in.data(), head.device(), 4, logits.DeviceBytes::data<float>(), element);
      outputs.keep("logits", logits);
      CHECK_LE(check::scaled_error(logits.values(), want), 1e-6);
    });
  }
}

CUDA_TEST_MAIN()
