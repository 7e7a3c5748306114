/// rope of the CPU backend against the book.
#include "backend_check.h"
#include "ref/rope_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
struct Inputs {
  int64_t M;
  int heads, D;
  Tensor x, cosine, sine;
  std::vector<float> cosine_f32, sine_f32;
  std::vector<int32_t> positions;
  Inputs(int64_t M, int heads, int D) : M(M), heads(heads), D(D) {
    book::Random random(3);
    x = random.normals(M * heads * D);
    ref::rope_tables(300, ref::rope_frequencies(D, 10000), cosine, sine);
    cosine_f32.assign(cosine.begin(), cosine.end());
    sine_f32.assign(sine.begin(), sine.end());
    for (int64_t m = 0; m < M; ++m) positions.push_back(static_cast<int32_t>(random.below(300)));
  }
};

Tensor book_result(const Inputs& in, bool f32, bool inverse) {
  Tensor x = Numbers(f32, in.x).values();
  ref::rope<double>(in.M, in.heads, in.D, in.positions, in.cosine.data(), in.sine.data(), inverse, x.data());
  return x;
}
}  // namespace

CASE("rope turns every head by its row's position, and back") {
  for (auto [M, heads, D] : {std::tuple<int64_t, int, int>{1, 1, 2}, {7, 3, 32}, {31, 2, 48}, {33, 9, 64}, {200, 5, 80}, {5, 2, 128}})
    for (bool inverse : {false, true}) {
      const Inputs in(M, heads, D);
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers x(f32, in.x);
            backend.rope(in.M, in.heads, in.D, in.D, in.positions, in.cosine_f32.data(), in.sine_f32.data(), inverse, x.data());
            return std::vector<Numbers>{x};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            CHECK_LE(check::scaled_error(got[0].values(), book_result(in, f32, inverse)), check::rounding(f32, 2e-7));
          });
    }
}

CASE("rope runs the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::rope);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::rope);
}

CASE("canary: turning the wrong way is found") {
  const Inputs in(7, 3, 32);
  CpuBackend backend(Compute::f32, 1, detect_isa());
  Numbers x(true, in.x);
  backend.rope(in.M, in.heads, in.D, in.D, in.positions, in.cosine_f32.data(), in.sine_f32.data(), true, x.data());
  CHECK(!(check::scaled_error(x.values(), book_result(in, true, false)) <= 1e-2));
}

TEST_MAIN()
