/// The body of a topk message of version 1: positions as Rice codes, which decode without a loop over bits. wire.h has the layout.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "compression/topk_coded.h"
#include "compression/wire.h"

namespace fedlora {

/// The Rice parameter with the fewest bits for these gaps, the smallest of equals.
int best_rice_parameter(const std::vector<uint32_t>& gaps, int64_t elements);

/// Bytes of the body.
int64_t rice_body_bytes(const std::vector<uint32_t>& gaps, int bits, int parameter);

/// Writes the body, but for the levels, into zeros.
void write_rice_entries(const TopkEntries& entries, int bits, int parameter, uint8_t* body);

/// Reads the positions, rising. Throws E_FORMAT.
void read_rice_positions(const UpdateHeader& header, const uint8_t* body, std::vector<uint32_t>& positions);

}  // namespace fedlora
