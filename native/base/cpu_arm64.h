/// The instructions of arm64 that some file has a version for, beside those of the levels. Compiled on arm64 only.
#pragma once

namespace fedlora {

/// CRC32C of a register: optional in Armv8.0, part of every later processor.
bool has_crc32_instructions();

}  // namespace fedlora
