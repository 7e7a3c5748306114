// Partial sums as bytes: any tree of aggregators that merge them has the bits of one, and bytes that are none change nothing.
#include <cmath>
#include <cstring>
#include <random>

#include "aggregation/aggregator.h"
#include "aggregation/partial_sum.h"
#include "compression/checksum.h"
#include "harness.h"

using namespace fedlora;

namespace {
/// Values over `spread` powers of two: 0 keeps tiles single, 20 makes pairs, 110 wide sums.
std::vector<float> draw(size_t length, uint64_t seed, int spread) {
  std::mt19937_64 random(seed);
  std::vector<float> values(length);
  for (float& value : values) {
    const float fraction = static_cast<float>(static_cast<int64_t>(random() % 2000001) - 1000000) * 1e-6f;
    value = std::ldexp(fraction, spread == 0 ? 0 : static_cast<int>(random() % static_cast<uint64_t>(2 * spread)) - spread);
  }
  return values;
}

std::vector<float> mean_of(const Aggregator& aggregator) {
  std::vector<float> mean(static_cast<size_t>(aggregator.length()));
  aggregator.mean(mean);
  return mean;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// With its checksums made right again, as somebody who lies would.
void seal(std::vector<uint8_t>& bytes) {
  PartialHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.body_bytes = bytes.size() - sizeof header;
  header.body_checksum = body_checksum(std::span(bytes).subspan(sizeof header));
  header.header_checksum = crc32c({reinterpret_cast<const uint8_t*>(&header), sizeof header - 4});
  std::memcpy(bytes.data(), &header, sizeof header);
}
}  // namespace

CASE("any tree of partial sums has the bits of one aggregator, in every form and length") {
  for (size_t length : {0, 1, 2047, 2048, 2049, 9001})
    for (int spread : {0, 20, 110}) {
      Aggregator all(static_cast<int64_t>(length));
      std::vector<Aggregator> parts;
      for (int p = 0; p < 4; ++p) parts.emplace_back(static_cast<int64_t>(length));
      for (uint64_t c = 0; c < 9; ++c) {
        // Some parts hold values of another size, so that tiles of different forms meet.
        const std::vector<float> values = draw(length, c, c % 3 == 0 ? spread : 0);
        const double weight = 1 + static_cast<double>(c) * 3.25;
        all.add_vector(values, weight);
        parts[c % 3].add_vector(values, weight);
      }
      Aggregator chain(static_cast<int64_t>(length)), tree(static_cast<int64_t>(length)), right(static_cast<int64_t>(length));
      for (const Aggregator& part : parts) chain.merge(part.partial());
      right.merge(parts[2].partial());
      right.merge(parts[3].partial());  // the empty one
      tree.merge(right.partial());
      tree.merge(parts[1].partial());
      tree.merge(parts[0].partial());
      CHECK(chain.count() == 9 && tree.count() == 9);
      CHECK(chain.total_weight() == all.total_weight());
      CHECK(same(mean_of(all), mean_of(chain)));
      CHECK(same(mean_of(all), mean_of(tree)));
      CHECK(chain.partial().size() == all.partial().size());
    }
}

CASE("canary: a tree that lost a part has other bits") {
  Aggregator all(100), part(100);
  all.add_vector(draw(100, 1, 0), 1);
  all.add_vector(draw(100, 2, 0), 1);
  part.add_vector(draw(100, 1, 0), 1);
  CHECK(!same(mean_of(all), mean_of(part)));
}

CASE("every cut and every flipped bit is refused, at any address, and the sum stays") {
  for (int spread : {0, 20, 110}) {
    Aggregator from(70);
    from.add_vector(draw(70, 3, spread), 2);
    const std::vector<uint8_t> whole = from.partial();
    Aggregator into(70);
    into.add_vector(draw(70, 4, 0), 5);
    const std::vector<float> before = mean_of(into);
    for (size_t cut = 0; cut < whole.size(); ++cut) CHECK_THROWS(into.merge(std::span(whole).first(cut)), E_FORMAT);
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
      std::vector<uint8_t> bent = whole;
      bent[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      bool refused = false;
      try {
        into.merge(bent);
      } catch (const Error& error) {
        refused = error.code() == Code::E_FORMAT || error.code() == Code::E_CHECKSUM || error.code() == Code::E_VERSION;
      }
      CHECK(refused);
    }
    CHECK(same(before, mean_of(into)) && into.count() == 1);
    std::vector<uint8_t> shifted(whole.size() + 1);
    std::memcpy(shifted.data() + 1, whole.data(), whole.size());
    Aggregator aligned(70), odd(70);
    aligned.merge(whole);
    odd.merge(std::span(shifted).subspan(1));
    CHECK(same(mean_of(aligned), mean_of(odd)));
    Aggregator other(71);
    CHECK_THROWS(other.merge(whole), E_SHAPE);
  }
}

CASE("a form that is not the one of its load, a unit that is none, and bytes behind the last tile are refused") {
  const auto bent = [](int spread, auto change) {
    Aggregator from(70);
    from.add_vector(draw(70, 5, spread), 2);
    std::vector<uint8_t> bytes = from.partial();
    TileHeader header;
    std::memcpy(&header, bytes.data() + sizeof(PartialHeader), sizeof header);
    change(header);
    std::memcpy(bytes.data() + sizeof(PartialHeader), &header, sizeof header);
    return bytes;
  };
  const auto small = [](TileHeader& header) { header.magnitude = 1, header.lowest_bit = -20; };
  Aggregator into(70);
  into.add_vector(draw(70, 6, 0), 1);
  const std::vector<float> before = mean_of(into);
  for (int spread : {20, 110}) {
    std::vector<uint8_t> bytes = bent(spread, small);
    seal(bytes);
    CHECK_THROWS(into.merge(bytes), E_FORMAT);
  }
  for (int spread : {0, 20, 110}) {
    std::vector<uint8_t> other = bent(spread, [](TileHeader& header) { header.unit -= 300; });
    seal(other);
    CHECK_THROWS(into.merge(other), E_FORMAT);
    std::vector<uint8_t> longer = bent(spread, [](TileHeader&) {});
    longer.resize(longer.size() + 8);
    seal(longer);
    CHECK_THROWS(into.merge(longer), E_FORMAT);
    std::vector<uint8_t> right = bent(spread, [](TileHeader&) {});
    seal(right);
    Aggregator fresh(70);
    fresh.merge(right);  // canary: unbent it is taken
    CHECK(fresh.count() == 1);
  }
  CHECK(same(before, mean_of(into)));
}

CASE("bytes that lie about what they hold, rightly sealed, are refused or added, and nothing worse") {
  std::mt19937_64 random(11);
  for (int spread : {0, 20, 110}) {
    Aggregator from(300);
    from.add_vector(draw(300, 5, spread), 2);
    const std::vector<uint8_t> whole = from.partial();
    int refused = 0;
    for (int i = 0; i < 20000; ++i) {
      std::vector<uint8_t> bent = whole;
      const size_t tile = sizeof(PartialHeader);
      for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
        const size_t at = random() % 2 == 0 ? tile + random() % sizeof(TileHeader) : 8 + random() % (bent.size() - 8);
        bent[at] = static_cast<uint8_t>(random());
      }
      if (random() % 8 == 0) bent.resize(sizeof(PartialHeader) + random() % bent.size());
      seal(bent);
      Aggregator into(300);
      into.add_vector(draw(300, 6, 0), 1);
      try {
        into.merge(bent);
        mean_of(into);
      } catch (const Error&) {
        ++refused;
      }
    }
    CHECK(refused > 1000);
  }
}

TEST_MAIN()
