// Products with a rank on one side: whole numbers, so that every sum is exact in whatever order.
#include "cuda_check.h"

#include "backend/cuda/heuristics/slices.h"
#include "backend/cuda/launch/narrow_product.h"
#include "backend/cuda/launch/small_tasks.h"

using check::DeviceNumbers;
using check::Tensor;
using fedlora::cuda::Element;
using fedlora::cuda::Queue;

namespace {

/// Whole numbers of −3 … 3 in rows `stride` apart, NaN between them; `skip` elements in front, so that a base may be misaligned.
struct Matrix {
  int64_t rows, columns, stride, skip;
  Tensor numbers;
  DeviceNumbers device;

  Matrix(book::Random& random, int64_t rows, int64_t columns, int64_t gap, int64_t skip)
      : rows(rows), columns(columns), stride(columns + gap), skip(skip), numbers(fill(random)), device(Element::bf16, numbers) {}
  const char* data() const { return device.data<char>() + 2 * skip; }
  double at(int64_t row, int64_t column) const { return numbers[static_cast<size_t>(skip + row * stride + column)]; }

 private:
  Tensor fill(book::Random& random) {
    Tensor all(static_cast<size_t>(skip + (rows - 1) * stride + columns), NAN);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        all[static_cast<size_t>(skip + i * stride + j)] = std::round(std::fmin(3, std::fmax(-3, random.normals(1, 1.5)[0])));
    return all;
  }
};

struct Lying {
  int64_t gap, skip;
};
/// In pieces of 16 bytes, and not.
constexpr Lying aligned{8, 8}, apart{3, 1};

}  // namespace

CASE("narrow_product: ranks around a tile, several slices of the depth, rows aligned or not") {
  struct Shape {
    int64_t M, R, depth;
    Lying lying;
  };
  for (const Shape& shape :
       {Shape{1, 1, 1, apart}, {5, 16, 64, aligned}, {65, 17, 200, apart}, {70, 40, 1096, aligned}, {3, 70, 2056, aligned}}) {
    book::Random random(5);
    const Matrix left(random, shape.M, shape.depth, shape.lying.gap, shape.lying.skip),
        right(random, shape.R, shape.depth, shape.lying.gap, shape.lying.skip);
    const int64_t stride = shape.R + 2;
    Tensor want(static_cast<size_t>(shape.M * stride), 7);
    for (int64_t m = 0; m < shape.M; ++m)
      for (int64_t r = 0; r < shape.R; ++r) {
        double sum = 0;
        for (int64_t k = 0; k < shape.depth; ++k) sum += left.at(m, k) * right.at(r, k);
        want[static_cast<size_t>(m * stride + r)] = fedlora::to_f32(fedlora::to_bf16(static_cast<float>(sum)));
      }
    check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
      DeviceNumbers out(Element::bf16, Tensor(want.size(), 7));  // what lies between the rows stays
      check::DeviceBytes partial(fedlora::cuda::narrow_partial_bytes(shape.M, shape.R, shape.depth));
      fedlora::cuda::narrow_product(queue, shape.M, shape.R, shape.depth, left.data(), left.stride, right.data(), right.stride,
                                    partial.data<float>());
      fedlora::cuda::TaskList<fedlora::cuda::JoinTask> joins;
      joins.add(
          {shape.M, shape.R, static_cast<int>(fedlora::cuda::slices_of(shape.depth)), partial.data<float>(), out.data(), stride, false, 1});
      fedlora::cuda::join_all(queue, joins);
      outputs.keep("out", out);
      CHECK(partial.intact());
      CHECK(out.values() == want);
    });
  }
}

CASE("narrow_row_sums: either side narrow, slices that do not fill, rows aligned or not") {
  struct Shape {
    int64_t rows, P, Q;
    Lying lying;
  };
  constexpr int64_t slice = 128;
  for (const Shape& shape :
       {Shape{1, 1, 1, apart}, {70, 130, 5, apart}, {300, 16, 264, aligned}, {129, 80, 70, aligned}, {131, 33, 40, aligned}}) {
    book::Random random(6);
    const Matrix left(random, shape.rows, shape.P, shape.lying.gap, shape.lying.skip),
        right(random, shape.rows, shape.Q, shape.lying.gap, shape.lying.skip);
    const int64_t slices = (shape.rows + slice - 1) / slice;
    Tensor want(static_cast<size_t>(slices * shape.P * shape.Q));
    for (int64_t m = 0; m < shape.rows; ++m)
      for (int64_t p = 0; p < shape.P; ++p)
        for (int64_t q = 0; q < shape.Q; ++q)
          want[static_cast<size_t>((m / slice * shape.P + p) * shape.Q + q)] += left.at(m, p) * right.at(m, q);
    check::each_device({80}, [&](const Queue& queue, check::Outputs& outputs) {
      DeviceNumbers partial(Element::f32, static_cast<int64_t>(want.size()));
      fedlora::cuda::narrow_row_sums(queue, shape.rows, slice, shape.P, shape.Q, left.data(), left.stride, right.data(), right.stride,
                                     partial.DeviceBytes::data<float>());
      outputs.keep("partial", partial);
      CHECK(partial.values() == want);
    });
  }
}

CUDA_TEST_MAIN()
