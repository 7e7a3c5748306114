// Aggregators as bytes, and back.
#include "aggregation/partial_sum.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

#include "aggregation/aggregator.h"
#include "base/error.h"
#include "compression/checksum.h"

namespace fedlora {

namespace {
using Form = TileSum::Form;

/// Bytes of an element's words.
size_t word_bytes(Form form) {
  switch (form) {
    case Form::single:
      return sizeof(int64_t);
    case Form::pair:
      return 2 * sizeof(int64_t);
    case Form::wide:
      return sizeof(WideSum);
    case Form::empty:
      break;
  }
  return 0;
}

int64_t elements(int64_t length, size_t tile) { return std::min(update_tile, length - static_cast<int64_t>(tile) * update_tile); }

uint32_t checksum_of(const PartialHeader& header) {
  return crc32c({reinterpret_cast<const uint8_t*>(&header), offsetof(PartialHeader, header_checksum)});
}

void write_tile(uint8_t* at, const TileSum::View& tile, size_t count) {
  const TileHeader header = {static_cast<int32_t>(tile.form), tile.unit, tile.load.magnitude, tile.load.lowest_bit, 0, tile.load.products};
  std::memcpy(at, &header, sizeof header);
  at += sizeof header;
  const auto words = [&](const void* from, size_t bytes) {
    std::memcpy(at, from, bytes);
    at += bytes;
  };
  if (tile.form == Form::wide) words(tile.wide, count * sizeof(WideSum));
  if (tile.form == Form::single || tile.form == Form::pair) words(tile.low, count * sizeof(int64_t));
  if (tile.form == Form::pair) words(tile.high, count * sizeof(int64_t));
}

/// The tile at the front of `body`, which then begins behind it.
TileSum::View read_tile(std::span<const uint8_t>& body, size_t tile, size_t count) {
  const auto refuse = [&](const char* what) {
    fail(Code::E_FORMAT, "partial sums: tile %zu %s; they were not made by partial()", tile, what);
  };
  TileHeader header;
  if (body.size() < sizeof header) refuse("is cut off");
  std::memcpy(&header, body.data(), sizeof header);
  if (header.form < 0 || header.form > static_cast<int32_t>(Form::wide) || header.zero != 0) refuse("has an unknown form");
  TileSum::View view;
  view.form = static_cast<Form>(header.form), view.unit = header.unit;
  view.load = {header.magnitude, header.lowest_bit, header.products};
  const size_t bytes = count * word_bytes(view.form);
  body = body.subspan(sizeof header);
  if (body.size() < bytes) refuse("is cut off");
  view.low = reinterpret_cast<const int64_t*>(body.data());
  view.high = view.low + count;
  view.wide = reinterpret_cast<const WideSum*>(body.data());
  body = body.subspan(bytes);
  if (!view.sound(static_cast<int64_t>(count))) refuse("holds more than its form can, or than it says");
  return view;
}

PartialHeader read_header(std::span<const uint8_t> bytes, int64_t length) {
  PartialHeader header;
  if (bytes.size() < sizeof header) fail(Code::E_FORMAT, "partial sums: got %zu bytes, expected at least %zu", bytes.size(), sizeof header);
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, partial_magic, sizeof header.magic) != 0)
    fail(Code::E_FORMAT, "partial sums: the first bytes are not \"FLPS\"; give what partial() gave");
  if (header.version != partial_version)
    fail(Code::E_VERSION, "partial sums of version %u, expected %u; all aggregators must run the same fedlora", header.version,
         partial_version);
  if (header.header_checksum != checksum_of(header)) fail(Code::E_CHECKSUM, "partial sums: the header is damaged; send them again");
  if (header.length != static_cast<uint64_t>(length))
    fail(Code::E_SHAPE, "partial sums of %llu elements, expected %lld", static_cast<unsigned long long>(header.length),
         static_cast<long long>(length));
  if (header.body_bytes != bytes.size() - sizeof header)
    fail(Code::E_FORMAT, "partial sums: got %zu bytes behind the header, expected %llu", bytes.size() - sizeof header,
         static_cast<unsigned long long>(header.body_bytes));
  return header;
}
}  // namespace

std::vector<uint8_t> Aggregator::partial(ThreadPool* pool) const {
  try {
    size_t body_bytes = 0;
    for (size_t tile = 0; tile < tiles_.size(); ++tile)
      body_bytes += sizeof(TileHeader) + static_cast<size_t>(elements(length_, tile)) * word_bytes(tiles_[tile].view().form);
    std::vector<uint8_t> bytes(sizeof(PartialHeader) + body_bytes);
    uint8_t* at = bytes.data() + sizeof(PartialHeader);
    for (size_t tile = 0; tile < tiles_.size(); ++tile) {
      const size_t count = static_cast<size_t>(elements(length_, tile));
      const TileSum::View view = tiles_[tile].view();
      write_tile(at, view, count);
      at += sizeof(TileHeader) + count * word_bytes(view.form);
    }
    const unsigned __int128 weight = static_cast<unsigned __int128>(weight_.units());
    PartialHeader header = {{},
                            partial_version,
                            static_cast<uint64_t>(length_),
                            static_cast<uint64_t>(received_),
                            static_cast<uint64_t>(weight),
                            static_cast<uint64_t>(weight >> 64),
                            body_bytes,
                            body_checksum(std::span(bytes).subspan(sizeof(PartialHeader)), pool),
                            0};
    std::memcpy(header.magic, partial_magic, sizeof header.magic);
    header.header_checksum = checksum_of(header);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory for the partial sums of %lld elements", static_cast<long long>(length_));
  }
}

// All is read and judged, and every tile made fit, before the first sum changes.
void Aggregator::merge(std::span<const uint8_t> partial, ThreadPool* pool) {
  const PartialHeader header = read_header(partial, length_);
  std::span<const uint8_t> body = partial.subspan(sizeof header);
  if (body_checksum(body, pool) != header.body_checksum) fail(Code::E_CHECKSUM, "partial sums: the body is damaged; send them again");
  const __int128 weight = static_cast<__int128>(static_cast<unsigned __int128>(header.weight_high) << 64 | header.weight_low);
  if (weight < 0 || header.received > uint64_t{1} << 39) fail(Code::E_FORMAT, "partial sums: more updates or weight than can be");
  try {
    AlignedBuffer<uint64_t> copy;  // words are read in place, which asks for their alignment
    if (reinterpret_cast<uintptr_t>(body.data()) % alignof(int64_t) != 0) {
      copy = AlignedBuffer<uint64_t>((body.size() + 7) / 8);
      std::memcpy(copy.data(), body.data(), body.size());
      body = {reinterpret_cast<const uint8_t*>(copy.data()), body.size()};
    }
    std::vector<TileSum::View> views;
    views.reserve(tiles_.size());
    for (size_t tile = 0; tile < tiles_.size(); ++tile)
      views.push_back(read_tile(body, tile, static_cast<size_t>(elements(length_, tile))));
    if (!body.empty()) fail(Code::E_FORMAT, "partial sums: %zu bytes behind the last tile", body.size());
    for (size_t tile = 0; tile < tiles_.size(); ++tile) tiles_[tile].prepare(views[tile].load);
    run_tasks(pool, static_cast<int64_t>(tiles_.size()),
              [&](int64_t tile, int) { tiles_[static_cast<size_t>(tile)].add(views[static_cast<size_t>(tile)]); });
    weight_.add(WeightSum::of(weight));
    received_ += static_cast<int64_t>(header.received);
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to merge the partial sums of %lld elements", static_cast<long long>(length_));
  }
}

}  // namespace fedlora
