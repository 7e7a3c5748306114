/// The residual stream without a norm, factors on it, pieces of fused projections, and the rotation of a part of each head: CPU backend.
#include "backend_check.h"
#include "ref/rope_ref.h"

using namespace fedlora;
using check::Numbers;
using check::Tensor;

CASE("residual_add: the sum in f32 and its rounded copy, with and without a delta") {
  for (const int64_t count : {1, 7, 33, 40'000})
    for (const bool with_delta : {true, false}) {
      book::Random random(31);
      const Tensor stream = random.normals(count), added = random.normals(count);
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers x(true, stream), alone(true, stream), delta(f32, added), copy(f32, count);
            backend.residual_add(count, x.floats(), with_delta ? delta.data() : nullptr, copy.data());
            backend.residual_add(count, alone.floats(), with_delta ? delta.data() : nullptr, nullptr);
            CHECK(alone == x);
            return std::vector<Numbers>{x, copy};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            const Tensor x = Numbers(true, stream).values(), delta = Numbers(f32, added).values(), sum = got[0].values();
            Numbers rounded(f32, sum);
            CHECK(got[1] == rounded);
            for (size_t i = 0; i < sum.size(); ++i)
              CHECK(sum[i] == static_cast<float>(x[i]) + (with_delta ? static_cast<float>(delta[i]) : 0.0f));
          });
    }
}

CASE("scale: every element once, rounded") {
  for (const int64_t count : {1, 7, 33, 40'000}) {
    book::Random random(32);
    const Tensor values = random.normals(count);
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers x(f32, values);
          backend.scale(count, 0.22f, x.data());
          return std::vector<Numbers>{x};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          Tensor want = Numbers(f32, values).values();
          for (double& value : want) value = static_cast<float>(value) * 0.22f;
          CHECK(got[0].values() == Numbers(f32, want).values());
        });
  }
}

CASE("take_columns and put_columns: whole blocks and runs of each head, and nothing beside them") {
  for (const ColumnRuns& runs :
       {ColumnRuns{12, 0, 12}, ColumnRuns{12, 5, 4}, ColumnRuns{24, 2, 3, 8, 3}, ColumnRuns{700, 100, 300, 0, 1}}) {
    const int64_t M = 50, part_width = runs.run * runs.count;
    book::Random random(33);
    const Tensor values = random.normals(M * runs.width), fresh = random.normals(M * part_width);
    const auto column = [&](int64_t i) { return runs.begin + i / runs.run * runs.stride + i % runs.run; };
    check::each_backend(
        [&](CpuBackend& backend, bool f32) {
          Numbers whole(f32, values), part(f32, M * part_width), from(f32, fresh);
          backend.take_columns(M, runs, whole.data(), part.data());
          backend.put_columns(M, runs, from.data(), whole.data());
          return std::vector<Numbers>{part, whole};
        },
        [&](std::vector<Numbers>& got, bool f32) {
          Tensor whole = Numbers(f32, values).values(), part(static_cast<size_t>(M * part_width));
          const Tensor from = Numbers(f32, fresh).values();
          for (int64_t m = 0; m < M; ++m)
            for (int64_t i = 0; i < part_width; ++i) {
              double& place = whole[static_cast<size_t>(m * runs.width + column(i))];
              part[static_cast<size_t>(m * part_width + i)] = place;
              place = from[static_cast<size_t>(m * part_width + i)];
            }
          CHECK(got[0].values() == part);
          CHECK(got[1].values() == whole);
        });
  }
}

CASE("rope of a part of each head: the rest keeps its bits; canary: turning all of it is found") {
  for (const auto& [heads, D, P] : {std::tuple<int, int, int>{1, 4, 2}, {3, 32, 24}, {2, 80, 32}, {2, 64, 64}})
    for (const bool inverse : {false, true}) {
      const int64_t M = 9;
      book::Random random(34);
      const Tensor values = random.normals(M * heads * D);
      Tensor cosine, sine;
      ref::rope_tables(50, ref::rope_frequencies(P, 10000), cosine, sine);
      const std::vector<float> cosine_f32(cosine.begin(), cosine.end()), sine_f32(sine.begin(), sine.end());
      std::vector<int32_t> positions;
      for (int64_t m = 0; m < M; ++m) positions.push_back(static_cast<int32_t>(random.below(50)));
      check::each_backend(
          [&](CpuBackend& backend, bool f32) {
            Numbers x(f32, values);
            backend.rope(M, heads, D, P, positions, cosine_f32.data(), sine_f32.data(), inverse, x.data());
            return std::vector<Numbers>{x};
          },
          [&](std::vector<Numbers>& got, bool f32) {
            const Tensor before = Numbers(f32, values).values(), after = got[0].values();
            Tensor want = before;
            ref::rope<double>(M, heads, D, positions, cosine.data(), sine.data(), inverse, want.data(), P);
            CHECK_LE(check::scaled_error(after, want), check::rounding(f32, 2e-7));
            for (size_t i = 0; i < after.size(); ++i) CHECK(static_cast<int>(i) % D < P || after[i] == before[i]);
            if (P == D) return;
            want = before;  // the first pairs of all D dimensions instead
            std::vector<double> wide_cosine(50 * static_cast<size_t>(D / 2), 0.5), wide_sine(wide_cosine.size(), 0.5);
            ref::rope<double>(M, heads, D, positions, wide_cosine.data(), wide_sine.data(), inverse, want.data());
            CHECK(!(check::scaled_error(after, want) <= 1e-2));
          });
    }
}

CASE("these run the kernels of the level that was asked for") {
  CHECK_OWN_KERNEL(TypedKernels<float>::residual_add);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::residual_add);
  CHECK_OWN_KERNEL(TypedKernels<float>::scale_in_place);
  CHECK_OWN_KERNEL(TypedKernels<fedlora::bf16>::scale_in_place);
}

TEST_MAIN()
