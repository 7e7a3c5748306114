/// What is fetched while a tile is added: the bytes that are added next, so that they are on their way.
///
/// A task takes run after run. Within a run the next tile of the same message follows; at its end, message k of the next group at this
/// run, or, after the last group, message k of the first at the next run of this member of the team. That is a guess, since the team's
/// members take runs as they come: a wrong one costs a fetch and changes nothing.
#pragma once
#include "aggregation/message.h"
#include "aggregation/tile_sum.h"

namespace fedlora {

class Upcoming {
 public:
  /// `messages` come after the present group, `tiles` tiles further on; all have `length` elements.
  Upcoming(std::span<const OpenMessage> messages, int64_t tiles, int64_t length) : messages_(messages), tiles_(tiles), length_(length) {}

  /// A tile of a message; no reader: nothing is known.
  struct Place {
    const UpdateReader* reader = nullptr;
    int64_t tile = 0;
  };
  /// Where message k of the present group, or what follows in its place, goes on `ahead` ≤ run.end − run.first tiles after `tile`.
  /// Whole tiles of the same codec only.
  Place after(const OpenMessage& message, size_t k, TileRun run, int64_t tile, int64_t ahead) const {
    if (tile + ahead < run.end) return whole(message.reader, tile + ahead);
    if (k >= messages_.size() || messages_[k].codec() != message.codec()) return {};
    return whole(messages_[k].reader, tile + ahead - (run.end - run.first) + tiles_);
  }

 private:
  Place whole(const UpdateReader& reader, int64_t tile) const {
    return (tile + 1) * update_tile <= length_ ? Place{&reader, tile} : Place{};
  }

  std::span<const OpenMessage> messages_;
  int64_t tiles_, length_;
};

}  // namespace fedlora
