/// The byte-level alphabet: a printable character for every byte, so that every text can be spelt. Printable bytes of Latin-1 stand for
/// themselves, the other 68 for U+0100 and the following. Radford et al. 2019 (GPT-2).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fedlora::tokenizer {

/// The character of each byte; all lie below U+0144.
const std::array<uint16_t, 256>& byte_alphabet();
/// The byte of a character of the alphabet, or -1.
int byte_of_character(char32_t point);
/// Appends the characters of `bytes`.
void append_byte_level(std::string& out, std::string_view bytes);

/// Calls `each(begin, end)` for every word that GPT-2's expression finds in the text; they cover it:
/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
template <class Each>
void for_each_word(std::string_view text, Each each);

/// The end of the word that begins at `begin` < text.size().
size_t word_end(std::string_view text, size_t begin);

template <class Each>
void for_each_word(std::string_view text, Each each) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = word_end(text, begin);
    each(begin, end);
    begin = end;
  }
}

}  // namespace fedlora::tokenizer
