// The kernel tables: every kernel has a portable version, stronger levels override it, and the small shared kernels are right.
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_backend.h"
#include "harness.h"

using namespace fedlora;

namespace {
std::vector<Isa> levels() {
  std::vector<Isa> all;
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) all.push_back(static_cast<Isa>(level));
  return all;
}

/// Distance in units in the last place of the wanted value's f32 neighbourhood.
double ulp_error(float got, double want) {
  const float near = std::fabs(static_cast<float>(want));
  const double unit =
      near < 0x1p-126f ? 0x1p-149 : static_cast<double>(std::nextafter(near, std::numeric_limits<float>::infinity())) - near;
  return std::fabs(got - want) / unit;
}
}  // namespace

CASE("every kernel exists at every level, and the portable table is complete") {
#define KERNEL(kernel, ...)                               \
  CHECK(own_kernel_table(Isa::scalar).kernel != nullptr); \
  for (Isa isa : levels())                                \
    if (own_kernel_table(isa).kernel) CHECK(kernel_table(isa).kernel == own_kernel_table(isa).kernel);
#define TYPED(kernel, ...) KERNEL(TypedKernels<float>::kernel) KERNEL(TypedKernels<bf16>::kernel)
#include "backend/cpu/kernels/kernel_list.def"
#undef TYPED
#undef KERNEL
  if (isa_levels > 1) CHECK(kernel_table(Isa::scalar).widen_bf16 != kernel_table(static_cast<Isa>(1)).widen_bf16);
}

CASE("FEDLORA_ISA caps what runs, and provenance says so") {
  for (Isa isa : levels()) {
    setenv("FEDLORA_ISA", isa_name(isa), 1);
    CHECK(!cpu_kernels().empty());
    for (const KernelInfo& kernel : cpu_kernels())
      if (kernel.kernel == "exp_f32") CHECK(kernel.isa == isa_name(isa));
  }
  unsetenv("FEDLORA_ISA");
}

CASE("exp is within 2 ulp everywhere and right at the edges") {
  for (Isa isa : levels()) {
    std::vector<float> x;
    for (int i = 0; i < 200'000; ++i) x.push_back(-104.0f + 192.7f * static_cast<float>(i) / 200'000.0f);
    for (int i = 0; i < 1'001; ++i) x.push_back(static_cast<float>(i - 500) * 1e-3f);
    std::vector<float> y(x.size() + 1, 7.0f);
    kernel_table(isa).exp_f32(x.data(), y.data(), static_cast<int64_t>(x.size()));
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulp_error(y[i], std::exp(static_cast<double>(x[i]))));
    CHECK_LE(worst, 2.0);
    CHECK(y.back() == 7.0f);
    const float infinity = std::numeric_limits<float>::infinity();
    float edges[7] = {0.0f, -0.0f, 89.0f, infinity, -infinity, -200.0f, std::nanf("")};
    kernel_table(isa).exp_f32(edges, edges, 7);
    CHECK(edges[0] == 1.0f && edges[1] == 1.0f && edges[2] == infinity && edges[3] == infinity && edges[4] == 0.0f && edges[5] == 0.0f);
    CHECK(std::isnan(edges[6]));
  }
  CHECK(!(ulp_error(1.0000005f, 1.0) <= 2.0));  // canary: four ulp off
}

CASE("bf16 conversions equal the plain ones at every level and length") {
  for (Isa isa : levels())
    for (int64_t count : {0, 1, 7, 8, 15, 16, 17, 33, 100}) {
      std::vector<float> x(static_cast<size_t>(count)), back(static_cast<size_t>(count) + 1, 7.0f);
      std::vector<bf16> y(static_cast<size_t>(count) + 1, bf16{0x1234});
      for (int64_t i = 0; i < count; ++i)
        x[static_cast<size_t>(i)] = std::ldexp(1.0f + static_cast<float>(i * 37 % 256) / 256.0f + 0x1p-8f, static_cast<int>(i % 60) - 30);
      if (count > 20) x[3] = std::nanf(""), x[5] = std::numeric_limits<float>::infinity(), x[9] = -0.0f;
      // What rounding by addition would carry into infinity, or past the sign.
      if (count > 20) x[11] = std::bit_cast<float>(0x7f800001u), x[13] = std::bit_cast<float>(0xffffffffu);
      kernel_table(isa).round_bf16(x.data(), y.data(), count);
      kernel_table(isa).widen_bf16(y.data(), back.data(), count);
      for (size_t i = 0; i < x.size(); ++i) {
        if (std::isnan(x[i]))
          CHECK(std::isnan(back[i]));
        else
          CHECK(y[i].bits == to_bf16(x[i]).bits && back[i] == to_f32(y[i]));
      }
      CHECK(y.back().bits == 0x1234 && back.back() == 7.0f);
    }
}

CASE("the roof of reading reads every number once") {
  for (Isa isa : levels())
    for (int64_t count : {0, 256, 512, 2560}) {
      std::vector<float> x(static_cast<size_t>(count) + 1, 1e9f);
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += x[static_cast<size_t>(i)] = static_cast<float>(i % 251);
      CHECK(kernel_table(isa).roof_read(x.data(), count) == static_cast<float>(sum));
      if (count > 0) CHECK(kernel_table(isa).roof_read(x.data() + 1, count) != static_cast<float>(sum));  // canary: one place off
    }
  CHECK(measure_read_bandwidth(2, 0.01) > 0);
}

TEST_MAIN()
