/** The decoder of sentencepiece's tokenizers, as tokenizer.json has it. */
import type { Json } from '../../files/json.js'

/** `▁` are spaces and `<0x…>` bytes; `prefixed`: the space that was put before the text is taken away. */
export function sentencePieceDecoder(prefixed: boolean): Json {
  const strip = prefixed ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []
  return {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      ...strip,
    ],
  }
}
