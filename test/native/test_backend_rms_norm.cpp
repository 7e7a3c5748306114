/// rms_norm and row_norm of the CPU backend against the book.
#include "backend_check.h"
#include "ref/rms_norm_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
struct Inputs {
  int64_t M, K;
  Tensor x, delta, d_y, d_x;
  std::vector<float> weight;
  Inputs(int64_t M, int64_t K, uint64_t seed = 1) : M(M), K(K) {
    book::Random random(seed);
    x = random.normals(M * K), delta = random.normals(M * K), d_y = random.normals(M * K), d_x = random.normals(M * K);
    weight = random.normals<float>(K);
  }
};

std::vector<Numbers> forward_backward(CpuBackend& backend, bool f32, const Inputs& in, bool with_delta, bool with_copies) {
  Numbers x(true, in.x), delta(f32, in.delta), y(f32, in.M * in.K), rstd(true, in.M), saved(f32, in.M * in.K), rebuilt(f32, in.M * in.K);
  Numbers d_y(f32, in.d_y), d_x(true, in.d_x), copy(f32, in.M * in.K);
  backend.rms_norm_forward(in.M, in.K, x.floats(), with_delta ? delta.data() : nullptr, in.weight.data(), 1e-5f, y.data(), rstd.floats(),
                           with_copies ? saved.data() : nullptr);
  Numbers x_saved(f32, x.values());
  backend.rms_norm_rebuild(in.M, in.K, x_saved.data(), rstd.floats(), in.weight.data(), rebuilt.data());
  backend.rms_norm_backward(in.M, in.K, d_y.data(), x_saved.data(), rstd.floats(), in.weight.data(), d_x.floats(),
                            with_copies ? copy.data() : nullptr);
  if (with_copies) CHECK(saved == x_saved);
  if (with_copies) CHECK(copy == Numbers(f32, d_x.values()));
  return {x, y, rstd, rebuilt, d_x};
}

/// Worst error of each output over the tolerance.
double judge(std::vector<Numbers>& got, bool f32, const Inputs& in, bool with_delta, double spoil = 0) {
  const Tensor delta = Numbers(f32, in.delta).values(), d_y = Numbers(f32, in.d_y).values(), weight(in.weight.begin(), in.weight.end());
  Tensor x = Numbers(true, in.x).values(), y(x.size()), rstd(static_cast<size_t>(in.M)), d_x = Numbers(true, in.d_x).values();
  ref::rms_norm_forward<double>(in.M, in.K, x.data(), with_delta ? delta.data() : nullptr, weight.data(), 1e-5, y.data(), rstd.data());
  const Tensor x_saved = Numbers(f32, got[0].values()).values(), got_rstd = got[2].values();  // backward reads what forward saved
  ref::rms_norm_backward<double>(in.M, in.K, d_y.data(), x_saved.data(), got_rstd.data(), weight.data(), d_x.data());
  y[0] += spoil;
  double worst = check::scaled_error(got[0].values(), x) / 1e-7;
  worst = book::worse(worst, check::scaled_error(got[2].values(), rstd) / 1e-6);
  worst = book::worse(worst, check::scaled_error(got[1].values(), y) / check::rounding(f32));
  worst = book::worse(worst, check::scaled_error(got[3].values(), y) / (2 * check::rounding(f32)));
  worst = book::worse(worst, check::scaled_error(got[4].values(), d_x) / 2e-6);
  return worst;
}
}  // namespace

CASE("rms_norm: forward, rebuild and backward over awkward shapes") {
  for (auto [M, K] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {2, 31}, {5, 33}, {1, 64}, {37, 576}, {70, 1000}})
    for (bool with_delta : {false, true}) {
      const Inputs in(M, K);
      check::each_backend([&](CpuBackend& backend, bool f32) { return forward_backward(backend, f32, in, with_delta, with_delta); },
                          [&](std::vector<Numbers>& got, bool f32) { CHECK_LE(judge(got, f32, in, with_delta), 1.0); });
    }
}

CASE("rms_norm: a row alone gives the bits it gives among others") {
  const Inputs in(40, 600);
  Inputs alone(1, 600);
  for (Tensor Inputs::* part : {&Inputs::x, &Inputs::delta, &Inputs::d_y, &Inputs::d_x})
    alone.*part = Tensor((in.*part).begin() + 29 * 600, (in.*part).begin() + 30 * 600);
  alone.weight = in.weight;
  for (Compute compute : {Compute::f32, Compute::bf16})
    for (Isa isa : check::levels()) {
      CpuBackend backend(compute, 2, isa);
      std::vector<Numbers> all = forward_backward(backend, compute == Compute::f32, in, true, true);
      std::vector<Numbers> one = forward_backward(backend, compute == Compute::f32, alone, true, true);
      CHECK(all[1].holds(29 * 600, one[1]));
      CHECK(all[4].holds(29 * 600, one[4]));
    }
}

CASE("row_norm: forward and backward, in place") {
  for (auto [rows, D] : {std::pair<int64_t, int64_t>{1, 32}, {7, 48}, {33, 64}, {400, 80}, {9, 128}, {3, 5}}) {
    const Inputs in(rows, D, 2);
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, in.x), y(f32, in.x), rstd(true, rows), d_x(f32, in.d_y);
          backend.row_norm_forward(rows, D, y.data(), in.weight.data(), 1e-6f, y.data(), rstd.floats());
          backend.row_norm_backward(rows, D, d_x.data(), x.data(), rstd.floats(), in.weight.data(), d_x.data());
          return std::vector<Numbers>{y, rstd, d_x};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          Tensor x = Numbers(f32, in.x).values(), d_y = Numbers(f32, in.d_y).values(), y(x.size()), rstd(static_cast<size_t>(rows)),
                 d_x(x.size());
          const Tensor weight(in.weight.begin(), in.weight.end());
          ref::rms_norm_forward<double>(rows, D, x.data(), nullptr, weight.data(), 1e-6, y.data(), rstd.data());
          ref::rms_norm_backward<double>(rows, D, d_y.data(), x.data(), rstd.data(), weight.data(), d_x.data());
          CHECK_LE(check::scaled_error(got[0].values(), y), check::rounding(f32));
          CHECK_LE(check::scaled_error(got[1].values(), rstd), 1e-6);
          CHECK_LE(check::scaled_error(got[2].values(), d_x), check::rounding(f32));
        });
  }
}

CASE("norms run the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::rms_norm_forward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::rms_norm_backward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::row_norm_forward);
}

CASE("canary: one wrong element and one overrun are found") {
  const Inputs in(5, 33);
  CpuBackend backend(Compute::f32, 1, Isa::scalar);
  std::vector<Numbers> got = forward_backward(backend, true, in, true, true);
  CHECK(judge(got, true, in, true) <= 1.0);
  CHECK(!(judge(got, true, in, true, 1e-3) <= 1.0));
  CHECK(!(judge(got, true, in, true, NAN) <= 1.0));
  got[1].floats()[5 * 33] = 0;
  CHECK(!got[1].intact());
}

TEST_MAIN()
