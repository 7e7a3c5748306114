// Sums of products against sums in double, and decoded weights against the book's numbers.
#include <algorithm>
#include <memory>

#include "cuda_check.h"

#include "backend/cuda/launch/decode_weight.h"
#include "backend/cuda/heuristics/gemm.h"
#include "backend/cuda/launch/gemm.h"
#include "backend/cuda/launch/gemm_sm90.h"
#include "quant/encode.h"

using namespace fedlora;
using check::Tensor;
using cuda::Element;
using cuda::Product;
using cuda::Queue;
using cuda::Right;

namespace {

struct Shape {
  int64_t M, N, depth;
  Right lies;
  int64_t padding = 0;  // of every stride
};

/// An operand as it is stored, with NaN in the padding.
Tensor padded(const Tensor& dense, int64_t rows, int64_t columns, int64_t stride) {
  Tensor all(static_cast<size_t>(rows * stride), NAN);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) all[static_cast<size_t>(r * stride + c)] = dense[static_cast<size_t>(r * columns + c)];
  return all;
}

struct Operands {
  Shape shape;
  Tensor left, right;  // as stored

  Operands(Element element, const Shape& shape, uint64_t seed) : shape(shape) {
    book::Random random(seed);
    const auto draw = [&](int64_t rows, int64_t columns) {
      Tensor dense = check::DeviceNumbers(element, random.normals(rows * columns)).values();
      return padded(dense, rows, columns, columns + shape.padding);
    };
    left = draw(shape.M, shape.depth);
    right = shape.lies == Right::rows ? draw(shape.N, shape.depth) : draw(shape.depth, shape.N);
  }
  int64_t left_stride() const { return shape.depth + shape.padding; }
  int64_t right_stride() const { return (shape.lies == Right::rows ? shape.depth : shape.N) + shape.padding; }
  void add_to(Tensor& sum) const {
    for (int64_t m = 0; m < shape.M; ++m)
      for (int64_t n = 0; n < shape.N; ++n)
        for (int64_t k = 0; k < shape.depth; ++k)
          sum[static_cast<size_t>(m * shape.N + n)] +=
              left[static_cast<size_t>(m * left_stride() + k)] *
              right[static_cast<size_t>(shape.lies == Right::rows ? n * right_stride() + k : k * right_stride() + n)];
  }
};

/// C of these products in both element types, and logits in f32 of bf16.
void judge(const std::vector<Shape>& shapes, float scale = 1, bool with_bias = false) {
  const int64_t M = shapes[0].M, N = shapes[0].N;
  for (const auto& [element, output] :
       {std::pair{Element::f32, Element::f32}, std::pair{Element::bf16, Element::bf16}, std::pair{Element::bf16, Element::f32}}) {
    std::vector<Operands> operands;
    for (const Shape& shape : shapes) operands.emplace_back(element, shape, 11 + operands.size());
    Tensor want(static_cast<size_t>(M * N));
    for (const Operands& one : operands) one.add_to(want);
    std::vector<float> bias;
    for (int64_t n = 0; n < N; ++n) bias.push_back(0.5f * static_cast<float>(n % 7));
    for (size_t i = 0; i < want.size(); ++i) want[i] = scale * want[i] + (with_bias ? bias[i % static_cast<size_t>(N)] : 0);
    // f32: products and sums of f32 over at most 1,024 of the depth. bf16 operands are exact here and sums are f32: one rounding of C.
    const double bound = output == Element::bf16 ? check::bf16_unit : 2e-6;
    check::each_device({80, 90}, [&](const Queue& queue, check::Outputs& outputs) {
      std::vector<std::unique_ptr<check::DeviceNumbers>> kept;
      const auto place = [&](const Tensor& values) {
        kept.push_back(std::make_unique<check::DeviceNumbers>(element, values));
        return kept.back()->data();
      };
      std::vector<Product> products;
      for (const Operands& one : operands)
        products.push_back({place(one.left), one.left_stride(), place(one.right), one.right_stride(), one.shape.depth, one.shape.lies});
      const check::DeviceArray<float> device_bias(bias);
      check::DeviceNumbers C(output, M * N);
      cuda::gemm(queue, element, output, M, N, products, {C.data(), N, scale, with_bias ? device_bias.data() : nullptr});
      outputs.keep("C", C);
      CHECK_LE(check::scaled_error(C.values(), want), bound);
      if (queue.architecture != 90 || element != Element::bf16) return;
      cuda::ProductList list;
      for (const Product& product : products) list.items[list.count++] = product;
      if (!cuda::fits_sm90(list)) return;
      for (const int columns : {128, 256}) {  // whichever the shape takes: the same order of sums, the same bits
        check::DeviceNumbers other(output, M * N);
        cuda::gemm_sm90(queue, output, M, N, list, {other.data(), N, scale, with_bias ? device_bias.data() : nullptr}, columns);
        outputs.keep("C", other);
      }
    });
  }
}

}  // namespace

CASE("gemm: one product, right by rows") {
  for (const auto& [M, N, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 64, 64}, {5, 136, 64}, {130, 72, 192}, {129, 257, 320}, {3, 5, 7}})
    judge({{M, N, K, Right::rows}});
}

CASE("gemm: one product, right by columns") {
  for (const auto& [M, N, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 64, 64}, {77, 136, 100}, {129, 300, 72}, {2, 9, 1}})
    judge({{M, N, K, Right::columns}});
}

CASE("gemm: rows in pieces of 16 bytes and element by element, padding is not read") {
  judge({{33, 40, 72, Right::rows, 8}});
  judge({{33, 40, 72, Right::columns, 8}});
  judge({{33, 41, 71, Right::rows, 1}});
  judge({{33, 41, 71, Right::columns, 3}});
}

CASE("gemm: an odd edge and an odd stride of C") {
  judge({{65, 71, 64, Right::rows}});
  judge({{129, 135, 72, Right::rows, 8}});
}

CASE("gemm: several products are one sum; scale and bias") {
  judge({{70, 90, 64, Right::rows}, {70, 90, 16, Right::rows}}, 0.5f, true);
  judge({{70, 88, 72, Right::columns}, {70, 88, 16, Right::rows}});
  judge({{70, 90, 130, Right::columns}, {70, 90, 8, Right::columns}, {70, 90, 70, Right::rows}, {70, 90, 24, Right::rows, 8}}, 1, true);
}

CASE("gemm: more tiles than multiprocessors, the ring of stages goes on from tile to tile") {
  judge({{270, 264, 200, Right::rows}, {270, 264, 8, Right::rows}}, 2, true);
  judge({{270, 264, 72, Right::columns}, {270, 264, 8, Right::columns}});
}

CASE("order of tiles: each once, groups of rows; a device is full before tiles grow") {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {8, 2}, {9, 3}, {20, 7}}) {
    const cuda::TileOrder order{rows, columns};
    std::vector<int> seen(static_cast<size_t>(order.count()));
    for (int64_t i = 0; i < order.count(); ++i) {
      const auto [row, column] = order.at(i);
      CHECK(row >= 0 && row < rows && column >= 0 && column < columns);
      ++seen[static_cast<size_t>(row * columns + column)];
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }));
  }
  const auto [row, column] = cuda::TileOrder{20, 7}.at(16 * 7 + 4);
  CHECK(row == 16 && column == 1);
  CHECK(cuda::gemm_sm90_columns(2048, 4096) == 256);  // 16 × 16 tiles
  CHECK(cuda::gemm_sm90_columns(2048, 1024) == 128);  // 64 would leave multiprocessors idle
  CHECK(cuda::gemm_sm90_columns(1 << 20, 128) == 128);
}

CASE("gemm: a row's bits do not depend on where it lies, nor on how many there are") {
  for (const Element element : {Element::f32, Element::bf16})
    for (const Right lies : {Right::rows, Right::columns}) {
      const Operands whole(element, {150, 40, 96, lies}, 3);
      check::each_device({80, 90}, [&](const Queue& queue, check::Outputs&) {
        const check::DeviceNumbers left(element, whole.left), right(element, whole.right);
        check::DeviceNumbers all(element, 150 * 40), part(element, 20 * 40);
        const Product product{left.data(), 96, right.data(), whole.right_stride(), 96, lies};
        cuda::gemm(queue, element, element, 150, 40, {&product, 1}, {all.data(), 40, 1, nullptr});
        Product later = product;
        later.left = static_cast<const char*>(left.data()) + 121 * 96 * cuda::width_of(element);
        cuda::gemm(queue, element, element, 20, 40, {&later, 1}, {part.data(), 40, 1, nullptr});
        const Tensor a = all.values(), b = part.values();
        CHECK(std::equal(b.begin(), b.end(), a.begin() + 121 * 40));
      });
    }
}

CASE("decode_weight: the numbers of the book, each format, blocks that lie across rows") {
  ThreadPool pool(1);
  for (const auto& [N, K] : {std::pair<int64_t, int64_t>{3, 64}, {7, 40}, {5, 129}, {67, 130}}) {
    book::Random random(9);
    const Tensor drawn = random.normals(N * K);
    const std::vector<float> values(drawn.begin(), drawn.end());
    const TensorView view{DType::f32, {N, K}, values.data(), values.size() * 4};
    for (const Format format : {Format::nf4, Format::fp4, Format::int8, Format::f32, Format::f16, Format::bf16})
      for (const int block : {64, 128}) {
        if (block == 128 && format != Format::nf4) continue;
        const Matrix matrix = encode_matrix(format, view, block, false, pool);
        std::vector<float> want(values.size());
        decode(matrix, 0, N * K, want.data());
        for (const Element element : {Element::f32, Element::bf16}) {
          Tensor rounded;
          for (const float value : want) rounded.push_back(element == Element::f32 ? value : to_f32(to_bf16(value)));
          check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
            const check::DeviceBytes data(matrix.data.data(), matrix.data.size());
            const check::DeviceArray<float> absmax(std::vector<float>(matrix.absmax.begin(), matrix.absmax.end()));
            check::DeviceNumbers slab(element, N * K);
            const cuda::DeviceMatrix device{format, N, K, matrix.block, data.data(), absmax.data()};
            const void* decoded = cuda::decode_weight(queue, device, element, slab.data());
            CHECK(cuda::is_plain(device, element) == (decoded == data.data()));
            if (decoded == data.data()) return;
            outputs.keep("slab", slab);
            CHECK(slab.values() == rounded);
          });
        }
      }
  }
}

CUDA_TEST_MAIN()
