// What is fetched ahead changes no sum, so no mean can tell whether it is the right place: here it is asked for by itself.
#include "aggregation/prefetch.h"

#include <vector>

#include "compression/codec.h"
#include "harness.h"

using namespace fedlora;

namespace {
constexpr int64_t length = 34 * update_tile + 369;  // two runs of 16 tiles and one of two and a part
constexpr TileRun first_run{0, 16}, second_run{16, 32}, last_run{32, 35};

struct Messages {
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<OpenMessage> opened;

  explicit Messages(std::initializer_list<Codec> codecs) {
    std::vector<WeightedMessage> weighted;
    for (const Codec codec : codecs) encode_update(std::vector<float>(length, 0.5f), {}, {codec, 1, 2, 0}, bytes.emplace_back());
    for (const std::vector<uint8_t>& one : bytes) weighted.push_back({one, 1});
    opened = open_messages(weighted, length, codec_kernels(), nullptr);
  }
  std::span<const OpenMessage> from(size_t first) const { return std::span(opened).subspan(first); }
};

bool is(const Upcoming::Place& place, const OpenMessage& message, int64_t tile) {
  return place.reader == &message.reader && place.tile == tile;
}
bool none(const Upcoming::Place& place) { return place.reader == nullptr; }
}  // namespace

CASE("within a run the same message goes on") {
  const Messages messages{Codec::f32, Codec::f32, Codec::f32};
  for (const Upcoming& upcoming : {Upcoming(messages.from(1), 0, length), Upcoming(messages.from(0), 16, length)})
    for (const int64_t ahead : {1, 2}) {
      CHECK(is(upcoming.after(messages.opened[0], 0, first_run, 3, ahead), messages.opened[0], 3 + ahead));
      CHECK(is(upcoming.after(messages.opened[0], 1, first_run, 15 - ahead, ahead), messages.opened[0], 15));
    }
}

CASE("at its end comes the message of that place in the next group, at the beginning of the same run") {
  const Messages messages{Codec::f32, Codec::f32, Codec::f32, Codec::f32, Codec::f32};
  const Upcoming upcoming(messages.from(2), 0, length);
  for (const size_t k : {0, 1, 2}) {
    CHECK(is(upcoming.after(messages.opened[0], k, second_run, 31, 1), messages.opened[2 + k], 16));
    CHECK(is(upcoming.after(messages.opened[0], k, second_run, 30, 2), messages.opened[2 + k], 16));
    CHECK(is(upcoming.after(messages.opened[0], k, second_run, 31, 2), messages.opened[2 + k], 17));
    for (const int64_t tile : {16, 20, 31})
      CHECK(is(upcoming.after(messages.opened[0], k, second_run, tile, 16), messages.opened[2 + k], tile));
  }
  for (const size_t k : {3, 4}) CHECK(none(upcoming.after(messages.opened[0], k, second_run, 31, 1)));  // the next group is smaller
}

CASE("after the last group comes the first one, at the run that this member of the team takes next") {
  const Messages messages{Codec::bf16, Codec::bf16};
  CHECK(is(Upcoming(messages.from(0), 16, length).after(messages.opened[1], 1, first_run, 15, 1), messages.opened[1], 16));
  CHECK(is(Upcoming(messages.from(0), 16, length).after(messages.opened[1], 0, first_run, 15, 2), messages.opened[0], 17));
  CHECK(is(Upcoming(messages.from(0), 32, length).after(messages.opened[1], 1, first_run, 15, 1), messages.opened[1], 32));
}

CASE("nothing is known behind the last whole tile, or of another codec") {
  const Messages messages{Codec::int8, Codec::int8, Codec::f32, Codec::int8};
  const Upcoming upcoming(messages.from(2), 0, length), again(messages.from(0), 16, length);
  CHECK(none(upcoming.after(messages.opened[0], 0, first_run, 15, 1)));
  CHECK(is(upcoming.after(messages.opened[1], 1, first_run, 15, 1), messages.opened[3], 0));
  CHECK(is(again.after(messages.opened[0], 0, last_run, 32, 1), messages.opened[0], 33));
  CHECK(none(again.after(messages.opened[0], 0, last_run, 33, 1)));    // the tile that is a part
  CHECK(none(again.after(messages.opened[0], 0, last_run, 34, 1)));    // a run behind the last
  CHECK(none(again.after(messages.opened[0], 0, second_run, 31, 3)));  // in the last run, the part
  CHECK(is(again.after(messages.opened[0], 0, second_run, 31, 2), messages.opened[0], 33));
}

TEST_MAIN()
