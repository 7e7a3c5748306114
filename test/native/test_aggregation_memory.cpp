// Memory that runs out at any point of an addition: E_MEMORY, the sum as it was, and the next try gives the bits of a first one.
#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

#include "aggregation/aggregator.h"
#include "compression/codec.h"
#include "draws.h"
#include "harness.h"

using namespace fedlora;

namespace {

/// Allocations that still succeed, when not negative; then one fails, or all do until the fuse is taken out.
struct Fuse {
  std::atomic<int64_t> left{-1};
  std::atomic<bool> blown{false};
  bool lasting = false;

  void set(int64_t allocations, bool all_after) {
    blown = false;
    lasting = all_after;
    left = allocations;
  }
  void take_out() { left = -1; }
  bool fails() {
    if (left.load() < 0) return false;
    if (left.fetch_sub(1) > 0) return false;
    blown = true;
    left = lasting ? 0 : -1;
    return true;
  }
};
Fuse numbers, objects;  // AlignedBuffer; everything else

}  // namespace

std::atomic<size_t> number_bytes{0};  // of all AlignedBuffers so far

// glibc declares it with noexcept, macOS and musl without.
extern "C" void* aligned_alloc(size_t alignment, size_t size) noexcept(noexcept(::aligned_alloc(size_t{}, size_t{}))) {
  void* place = nullptr;
  number_bytes += size;
  return numbers.fails() || posix_memalign(&place, alignment, size) != 0 ? nullptr : place;
}
[[gnu::noinline]] void* operator new(size_t size) {
  void* const place = objects.fails() ? nullptr : std::malloc(size);
  if (place == nullptr) throw std::bad_alloc();
  return place;
}
[[gnu::noinline]] void operator delete(void* place) noexcept { std::free(place); }
[[gnu::noinline]] void operator delete(void* place, size_t) noexcept { std::free(place); }

namespace {

constexpr size_t length = 2 * 32768 + 4465;  // two whole runs of tiles and a part

std::vector<uint8_t> message(Codec codec, uint64_t seed, int spread) {
  std::mt19937_64 random(seed);
  std::vector<float> values(length);
  for (float& value : values) {
    const int shift = static_cast<int>(random() % static_cast<uint64_t>(2 * spread + 1)) - spread;
    value = std::ldexp(static_cast<float>(draws::normal(random)), shift - 10);
  }
  std::vector<uint8_t> bytes;
  encode_update(values, {}, {codec, 0.3, 4, seed}, bytes);
  return bytes;
}

std::vector<float> mean_of(const Aggregator& aggregator) {
  std::vector<float> mean(length);
  aggregator.mean(mean);
  return mean;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) { return std::memcmp(a.data(), b.data(), length * sizeof(float)) == 0; }

/// Lets `fuse` blow at one allocation of an addition after the other, some of the later ones left out; gives how often it did.
int judge(Fuse& fuse, bool lasting, Codec codec, ThreadPool* pool) {
  // What comes first fits the form that the sums have, what follows needs a larger one.
  const std::vector<uint8_t> first = message(codec, 1, 0), second = message(codec, 2, 0), third = message(codec, 3, 110),
                             fourth = message(codec, 4, 0);
  const WeightedMessage more[] = {{second, 2}, {third, 0.375}, {fourth, 5}};
  Aggregator undisturbed(length);
  undisturbed.add(first, 3, pool);
  const std::vector<float> before = mean_of(undisturbed);
  undisturbed.add(more, pool);
  const std::vector<float> after = mean_of(undisturbed);
  CHECK(!same(before, after));
  int failures = 0;
  for (int64_t allocation = 0;; allocation += 1 + allocation / 4) {
    Aggregator aggregator(length);
    aggregator.add(first, 3, pool);
    bool thrown = false;
    fuse.set(allocation, lasting);
    try {
      aggregator.add(more, pool);
    } catch (const Error& error) {
      thrown = true;
      CHECK(error.code() == Code::E_MEMORY);
    }
    fuse.take_out();
    CHECK(!lasting || thrown == fuse.blown);
    if (thrown) {
      ++failures;
      CHECK(same(before, mean_of(aggregator)) && aggregator.count() == 1 && aggregator.total_weight() == 3);
      aggregator.add(more, pool);
    }
    CHECK(same(after, mean_of(aggregator)) && aggregator.count() == 4 && aggregator.total_weight() == 10.375);
    if (!fuse.blown) return failures;
  }
}

constexpr Codec codecs[] = {Codec::f32, Codec::bf16, Codec::int8, Codec::int4, Codec::topk};

}  // namespace

CASE("no memory for a tile's sums, from any tile on: the sum is as it was, on one thread and on three") {
  ThreadPool one(1), three(3);
  for (const Codec codec : codecs) {
    CHECK(judge(numbers, true, codec, &one) >= 10);  // 35 tiles: allocations 0, 1, 2, 3, 4, 6, 8, 11, 14, 18, 23, 29
    CHECK(judge(numbers, true, codec, &three) >= 10);
  }
}

CASE("memory that is short for a moment: either nothing was added, or all") {
  ThreadPool one(1), three(3);
  for (const Codec codec : codecs) {
    judge(numbers, false, codec, &one);
    judge(numbers, false, codec, &three);
    CHECK(judge(objects, false, codec, &one) >= 3);
  }
}

CASE("merging without memory changes nothing") {
  Aggregator wide(length);
  wide.add(message(Codec::f32, 3, 110), 0.375);
  const std::vector<uint8_t> first = message(Codec::f32, 1, 0);
  Aggregator whole(length);
  whole.add(first, 3);
  const std::vector<float> before = mean_of(whole);
  whole.merge(wide);
  const std::vector<float> after = mean_of(whole);
  for (const int64_t allocation : {0, 1, 17, 34}) {
    Aggregator aggregator(length);
    aggregator.add(first, 3);
    numbers.set(allocation, true);
    CHECK_THROWS(aggregator.merge(wide), E_MEMORY);
    numbers.take_out();
    CHECK(same(before, mean_of(aggregator)) && aggregator.count() == 1);
    aggregator.merge(wide);
    CHECK(same(after, mean_of(aggregator)) && aggregator.count() == 2);
  }
}

CASE("an element takes 8 bytes, 16 or 56, as the range of its tile asks for") {
  const auto bytes = [](int spread) {
    const std::vector<uint8_t> update = message(Codec::f32, 1, spread);
    const size_t before = number_bytes;
    Aggregator aggregator(length);
    aggregator.add(update, 3);
    return static_cast<double>(number_bytes - before) / length;
  };
  // Buffers are whole cache lines: less than a hundredth more.
  CHECK(bytes(0) >= 8 && bytes(0) < 8.1);
  CHECK(bytes(20) >= 16 && bytes(20) < 16.2);
  CHECK(bytes(110) >= 8 + 56 && bytes(110) < 64.7);  // the first 8 lie unused
}

CASE("an aggregator and a reader that find no memory say so") {
  numbers.set(0, true);
  CHECK_THROWS(Aggregator(1000), E_MEMORY);
  CHECK_THROWS(Aggregator{update_max_elements}, E_MEMORY);
  CHECK_THROWS(Aggregator{update_max_elements + 1}, E_ARGUMENT);
  numbers.take_out();
  for (const Codec codec : codecs) {
    const std::vector<uint8_t> bytes = message(codec, 1, 3);
    int failures = 0;
    for (int64_t allocation = 0;; ++allocation, ++failures) {
      objects.set(allocation, false);
      try {
        const UpdateReader reader(bytes);
        objects.take_out();
        break;
      } catch (const Error& error) {
        objects.take_out();
        CHECK(error.code() == Code::E_MEMORY);
      }
    }
    CHECK(failures >= 2);  // checksums; ranges of tiles or positions of entries
  }
}

TEST_MAIN()
