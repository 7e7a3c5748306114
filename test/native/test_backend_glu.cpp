/// glu of the CPU backend against the book.
#include "backend_check.h"
#include "ref/glu_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

namespace {
constexpr Activate kinds[] = {Activate::silu, Activate::gelu_tanh, Activate::relu};

struct Inputs {
  int64_t count;
  Tensor gate, up, d_h;
  explicit Inputs(int64_t count) : count(count) {
    book::Random random(4);
    gate = random.normals(count, 4), up = random.normals(count), d_h = random.normals(count);
  }
};

double error(const Tensor& got, const Tensor& want, bool f32) {
  double worst = 0;  // relative to the element itself for bf16, so that small elements count too
  for (size_t i = 0; i < want.size(); ++i) {
    const double allowed = f32 ? 2e-6 * (1 + std::fabs(want[i])) : 0x1p-8 * std::fabs(want[i]) + 1e-6,
                 share = std::fabs(got[i] - want[i]) / allowed;
    worst = book::worse(worst, share);
  }
  return worst;
}
}  // namespace

CASE("glu: forward, and backward over its own inputs with the value rebuilt") {
  for (int64_t count : {1, 7, 31, 33, 16384 + 5, 40'000})
    for (Activate kind : kinds) {
      const Inputs in(count);
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers gate(f32, in.gate), up(f32, in.up), d_h(f32, in.d_h), h(f32, count), d_gate(f32, count), d_up(f32, count),
                rebuilt(f32, count);
            backend.glu_forward(kind, count, gate.data(), up.data(), h.data());
            backend.glu_backward(kind, count, gate.data(), up.data(), d_h.data(), d_gate.data(), d_up.data(), nullptr);
            backend.glu_backward(kind, count, gate.data(), up.data(), d_h.data(), gate.data(), up.data(), rebuilt.data());
            CHECK(gate == d_gate);
            CHECK(up == d_up);
            return std::vector<Numbers>{h, d_gate, d_up, rebuilt};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            const Tensor gate = Numbers(f32, in.gate).values(), up = Numbers(f32, in.up).values(), d_h = Numbers(f32, in.d_h).values();
            Tensor h(gate.size()), d_gate(h), d_up(h);
            ref::glu_forward<double>(kind, count, gate.data(), up.data(), h.data());
            ref::glu_backward<double>(kind, count, gate.data(), up.data(), d_h.data(), d_gate.data(), d_up.data());
            CHECK_LE(error(got[0].values(), h, f32), 1.0);
            CHECK_LE(error(got[1].values(), d_gate, f32), 1.0);
            CHECK_LE(error(got[2].values(), d_up, f32), 1.0);
            CHECK_LE(error(got[3].values(), h, f32), 1.0);
          });
    }
}

CASE("glu: large gates saturate, NaN stays NaN") {
  for (Isa isa : check::levels())
    for (Activate kind : kinds) {
      CpuBackend backend(Compute::f32, 1, isa);
      float gate[4] = {200.0f, -200.0f, NAN, 0.0f}, up[4] = {1, 1, 1, 1}, d_h[4] = {1, 1, 1, 1}, h[4], d_gate[4], d_up[4];
      backend.glu_forward(kind, 4, gate, up, h);
      backend.glu_backward(kind, 4, gate, up, d_h, d_gate, d_up, nullptr);
      CHECK(h[0] == 200.0f && h[1] == 0 && std::isnan(h[2]) && h[3] == 0);
      CHECK(d_gate[0] == 1 && d_gate[1] == 0 && d_up[0] == 200.0f && std::isnan(d_up[2]));
    }
}

CASE("glu runs the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::glu_forward);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::glu_backward);
}

CASE("canary: another activation is found") {
  const Inputs in(33);
  CpuBackend backend(Compute::f32, 1, detect_isa());
  Numbers gate(true, in.gate), up(true, in.up), h(true, 33);
  backend.glu_forward(Activate::gelu_tanh, 33, gate.data(), up.data(), h.data());
  Tensor want(33);
  ref::glu_forward<double>(Activate::silu, 33, gate.values().data(), up.values().data(), want.data());
  CHECK(!(error(h.values(), want, true) <= 1.0));
}

TEST_MAIN()
