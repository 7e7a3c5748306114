/**
 * Parts of the tokenizer library that differ from the Rust tokenizers on some texts, mended after it is built:
 *
 * - Rust splits by Unicode: a digit is any `\p{N}`, white space is `\p{White_Space}`. JavaScript's `\d` is ASCII, and its `\s` holds
 *   U+FEFF and lacks U+0085; the two patterns that the library writes with them are replaced.
 * - Byte tokens (`<0xEF>`) are decoded without dropping a byte order mark.
 */

/** The library's pre-tokenizers and decoders, as far as they are touched here. */
export interface LibraryPart {
  config?: { type?: string; individual_digits?: boolean }
  pattern?: RegExp | null
  text_decoder?: unknown
  /** The members of a sequence of pre-tokenizers, or of decoders. */
  tokenizers?: (LibraryPart | null)[]
  decoders?: (LibraryPart | null)[]
}

/** GPT-2's word pattern with Unicode's white space. */
const byteLevelPattern =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

/** Mends a pre-tokenizer and everything below it in place. */
export function mendPreTokenizer(part: LibraryPart | null): void {
  if (part === null) return
  for (const inner of part.tokenizers ?? []) mendPreTokenizer(inner)
  if (part.config?.type === 'ByteLevel') part.pattern = byteLevelPattern
  if (part.config?.type === 'Digits')
    part.pattern = part.config.individual_digits ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu
}

/** Mends a decoder and everything below it in place. */
export function mendDecoder(part: LibraryPart | null): void {
  if (part === null) return
  for (const inner of part.decoders ?? []) mendDecoder(inner)
  if (part.text_decoder !== undefined) part.text_decoder = new TextDecoder('utf-8', { ignoreBOM: true })
}
