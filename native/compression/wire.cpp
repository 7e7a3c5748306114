// The header of a message: writing, and reading with every check that needs no body.
#include "compression/wire.h"

#include <cstring>

#include "base/error.h"
#include "compression/checksum.h"

namespace fedlora {

namespace {
constexpr uint8_t magic[4] = {'F', 'L', 'U', 'P'};

template <class T>
void put(uint8_t* bytes, T value) {
  std::memcpy(bytes, &value, sizeof value);
}
template <class T>
T get(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

long long number(uint64_t value) { return static_cast<long long>(value); }

/// Bits of a value and the parameter that a codec allows.
bool fits(const UpdateHeader& h) {
  switch (h.codec) {
    case Codec::f32:
      return h.bits == 32 && h.parameter == 0;
    case Codec::bf16:
      return h.bits == 16 && h.parameter == 0;
    case Codec::int8:
      return h.bits == 8 && h.parameter == static_cast<int>(update_block_log2);
    case Codec::int4:
      return h.bits == 4 && h.parameter == static_cast<int>(update_block_log2);
    case Codec::topk:
      return (h.bits == 2 || h.bits == 4 || h.bits == 8) && h.parameter <= (h.version == 1 ? 31 : 0);
    case Codec::sign:
      return h.bits == 1 && h.parameter == static_cast<int>(sign_block_log2);
    case Codec::lowrank:
      return h.bits == 16 && h.parameter == 0;
    case Codec::randk:
    case Codec::blocks: {
      const bool value = h.bits == 32 || h.bits == 16 || h.bits == 8 || h.bits == 4;
      return value && (h.codec == Codec::randk ? h.parameter == 0 : h.parameter >= 1 && h.parameter <= run_log2_most);
    }
  }
  return false;
}

void check_parameters(const UpdateHeader& h) {
  const bool later = h.codec > Codec::topk;
  if (later != (h.version == 2) && h.codec != Codec::topk)
    fail(Code::E_FORMAT, "encoded update: codec %s in wire version %d, expected %d", codec_name(h.codec), h.version, later ? 2 : 1);
  if (!fits(h))
    fail(Code::E_FORMAT, "encoded update: codec %s with bits %d and parameter %d, which it does not have", codec_name(h.codec), h.bits,
         h.parameter);
}

void check_sizes(const UpdateHeader& h, uint64_t count, uint64_t sent, uint64_t body) {
  if (count > static_cast<uint64_t>(update_max_elements))
    fail(Code::E_FORMAT, "encoded update: %lld elements, at most %lld are possible", number(count), number(update_max_elements));
  if (sent > count || (!sends_some(h.codec) && sent != count))
    fail(Code::E_FORMAT, "encoded update: %lld of %lld elements sent, impossible with codec %s", number(sent), number(count),
         codec_name(h.codec));
  if (h.codec == Codec::lowrank) {
    if (h.body_bytes < low_rank_prefix_bytes(0)) fail(Code::E_FORMAT, "encoded update: no table of tensors");
    return;
  }
  if (is_chosen(h.codec)) {
    const int64_t least = chosen_prefix_bytes(0) + dense_body_bytes(dense_codec(h.bits), h.sent);
    if (h.body_bytes < least)
      fail(Code::E_FORMAT, "encoded update: body of %lld bytes, expected at least %lld for %lld elements sent", number(body), number(least),
           number(sent));
    return;
  }
  if (h.codec != Codec::topk) {
    const int64_t expected = dense_body_bytes(h.codec, h.count);
    if (body != static_cast<uint64_t>(expected))
      fail(Code::E_FORMAT, "encoded update: body of %lld bytes, expected %lld for %lld elements of %s", number(body), number(expected),
           number(count), codec_name(h.codec));
    return;
  }
  if (h.version == 2) {
    // Levels, a length, a sign for each entry.
    const int64_t least = (int64_t{1} << (h.bits - 1)) * 2 + 4 + (h.sent + 7) / 8;
    if (h.sent == 0 || h.body_bytes < least)
      fail(Code::E_FORMAT, "encoded update: body of %lld bytes, expected at least %lld for %lld coded entries", number(body), number(least),
           number(sent));
    return;
  }
  // The quotients hold k one bits and at most n >> b zero bits.
  const int64_t fixed = topk_layout(h.bits, h.parameter, h.sent).quotients;
  const int64_t least = h.sent ? fixed + (h.sent + 7) / 8 : 0;
  const int64_t most = h.sent ? fixed + (h.sent + (h.count >> h.parameter) + 7) / 8 : 0;
  if (h.body_bytes < least || h.body_bytes > most)
    fail(Code::E_FORMAT, "encoded update: body of %lld bytes, expected %lld to %lld for %lld of %lld elements", number(body), number(least),
         number(most), number(sent), number(count));
}
}  // namespace

const char* codec_name(Codec codec) {
  constexpr const char* names[codec_count] = {"f32", "bf16", "int8", "int4", "topk", "sign", "randk", "blocks", "lowrank"};
  return names[static_cast<int>(codec)];
}

TopkLayout topk_layout(int bits, int parameter, int64_t sent) {
  const int64_t levels = sent ? (int64_t{1} << (bits - 1)) * 2 : 0;
  const int64_t remainders = levels + (sent * bits + 7) / 8;
  return {levels, remainders, remainders + (sent * parameter + 7) / 8};
}

int64_t dense_body_bytes(Codec codec, int64_t count) {
  switch (codec) {
    case Codec::f32:
      return 4 * count;
    case Codec::bf16:
      return 2 * count;
    case Codec::int8:
      return 2 * block_count(count) + count;
    case Codec::int4:
      return 2 * block_count(count) + (count + 1) / 2;
    case Codec::sign:
      return 2 * sign_block_count(count) + (count + 7) / 8;
    case Codec::topk:
    case Codec::randk:
    case Codec::blocks:
    case Codec::lowrank:
      break;
  }
  fail(Code::E_INTERNAL, "the body of a %s message has no fixed size", codec_name(codec));
}

void write_header(const UpdateHeader& h, uint8_t* bytes) {
  std::memcpy(bytes, magic, 4);
  bytes[4] = static_cast<uint8_t>(h.version);
  bytes[5] = static_cast<uint8_t>(h.codec);
  bytes[6] = static_cast<uint8_t>(h.bits);
  bytes[7] = static_cast<uint8_t>(h.parameter);
  put<uint64_t>(bytes + 8, static_cast<uint64_t>(h.count));
  put<uint64_t>(bytes + 16, static_cast<uint64_t>(h.sent));
  put<uint64_t>(bytes + 24, static_cast<uint64_t>(h.body_bytes));
  put<uint32_t>(bytes + 32, h.body_checksum);
  put<uint32_t>(bytes + 36, crc32c({bytes, 36}));
}

UpdateHeader read_header(std::span<const uint8_t> message) {
  if (message.size() < static_cast<size_t>(update_header_bytes))
    fail(Code::E_FORMAT, "encoded update: %zu bytes are too few for its header of %lld. Was the message cut?", message.size(),
         number(update_header_bytes));
  const uint8_t* bytes = message.data();
  if (std::memcmp(bytes, magic, 4) != 0) fail(Code::E_FORMAT, "encoded update: the bytes do not begin with FLUP, so this is none");
  if (bytes[4] < 1 || bytes[4] > newest_wire_version)
    fail(Code::E_VERSION, "encoded update: wire version %d, this build reads versions 1 to %d", bytes[4], newest_wire_version);
  if (get<uint32_t>(bytes + 36) != crc32c(message.first(36)))
    fail(Code::E_CHECKSUM, "encoded update: the header's checksum differs; the message is damaged, have it sent again");
  if (bytes[5] >= codec_count) fail(Code::E_FORMAT, "encoded update: codec number %d is unknown", bytes[5]);
  UpdateHeader h;
  h.version = bytes[4];
  h.codec = static_cast<Codec>(bytes[5]);
  h.bits = bytes[6];
  h.parameter = bytes[7];
  const uint64_t count = get<uint64_t>(bytes + 8), sent = get<uint64_t>(bytes + 16), body = get<uint64_t>(bytes + 24);
  h.count = static_cast<int64_t>(count), h.sent = static_cast<int64_t>(sent), h.body_bytes = static_cast<int64_t>(body);
  h.body_checksum = get<uint32_t>(bytes + 32);
  const uint64_t held = message.size() - static_cast<size_t>(update_header_bytes);
  if (body != held)
    fail(Code::E_FORMAT, "encoded update: the header promises a body of %lld bytes, the message holds %lld", number(body), number(held));
  check_parameters(h);
  check_sizes(h, count, sent, body);
  return h;
}

}  // namespace fedlora
