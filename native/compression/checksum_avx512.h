/// The fast form of four segments' checksums, where the processor has vector carry-less products.
#pragma once
#include <cstdint>

namespace fedlora {

/// True when the instruction set in use (FEDLORA_ISA caps it) has AVX-512 and VPCLMULQDQ.
bool has_vector_clmul();

/// CRC32C of four whole segments, one behind the other. Only where has_vector_clmul().
void four_segments_clmul(const uint8_t* bytes, uint32_t* checksums);

}  // namespace fedlora
