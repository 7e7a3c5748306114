// The bottom room: half types, Philox, thread pool, error codes.
#include <atomic>
#include <bit>

#include "base/half.h"
#include "base/philox.h"
#include "base/thread_pool.h"
#include "harness.h"

using namespace fedlora;

CASE("bf16 and f16 survive the round trip through f32, every bit pattern") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const bf16 b{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_f32(b))) CHECK(to_bf16(to_f32(b)).bits == bits);
    const f16 h{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_f32(h))) CHECK(to_f16(to_f32(h)).bits == bits);
  }
}

CASE("rounding is to nearest even and NaN stays NaN") {
  CHECK(to_bf16(std::bit_cast<float>(0x3f808000u)).bits == 0x3f80);
  CHECK(to_bf16(std::bit_cast<float>(0x3f818000u)).bits == 0x3f82);
  CHECK(to_bf16(std::bit_cast<float>(0x3f808001u)).bits == 0x3f81);
  CHECK(std::isnan(to_f32(to_bf16(NAN))) && std::isnan(to_f32(to_f16(NAN))));
  CHECK(to_f16(65520.0f).bits == 0x7c00 && to_f16(65519.0f).bits == 0x7bff);
}

CASE("Philox4x32-10 gives the published vectors") {  // Random123 kat_vectors
  const auto zero = Philox{0, 0}(0);
  CHECK(zero[0] == 0x6627e8d5u && zero[1] == 0xe169c58du && zero[2] == 0xbc57ac4cu && zero[3] == 0x9b00dbd8u);
  const auto ones = Philox{~0ull, ~0ull}(~0ull);
  CHECK(ones[0] == 0x408f276du && ones[1] == 0x41c83b0eu && ones[2] == 0xa20bc7c6u && ones[3] == 0x6d5451fdu);
}

CASE("the pool runs every task once, for any number of threads") {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(tasks));
      pool.run(tasks, [&](int64_t i, int member) { seen[static_cast<size_t>(i)] += member < threads ? 1 : 100; });
      for (auto& count : seen) CHECK(count == 1);
    }
  }
}

CASE("canary: a NaN is reported as an error, not passed") {
  const float got[] = {1.0f, NAN}, want[] = {1.0f, 2.0f};
  CHECK(!(harness::max_error(got, want, 2) <= 1e9));
  CHECK(!(harness::relative_error(got, want, 2) <= 1e9));
}

TEST_MAIN()
