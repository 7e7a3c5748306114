/** Texts to ids: what may be asked, what comes back, and many texts slice by slice. */
import { FedloraError } from '../../errors.js'
import { isGgufPath } from '../../gguf/metadata.js'
import type { NativeTokenizer, TextEncodings } from '../../native/binding.js'
import { concat } from '../ids/concat.js'

export interface EncodeOptions {
  /** Adds the special tokens that the tokenizer puts around a text (BOS for Llama). Default true. */
  addSpecialTokens?: boolean
}

export interface EncodeManyOptions extends EncodeOptions {
  /** Gives offsets, too. Default false. */
  offsets?: boolean
  /** Encodes every text as the continuation of another, as `Tokenizer.encodeContinuation` does. Default false. */
  continuation?: boolean
  /** The most threads that work. Default: all cores. */
  threads?: number
  /** Stops the work; the promise rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Ids of one text, and where in the text each comes from. */
export interface EncodedText {
  readonly ids: Int32Array
  /** By id, the first UTF-16 code unit of the text that it stands for; 0 for special tokens around the text. */
  readonly begins: Int32Array
  /** By id, the unit behind the last one; 0 for special tokens around the text. */
  readonly ends: Int32Array
}

/** Ids of several texts, one text after the other. */
export interface EncodedTexts {
  readonly ids: Int32Array
  /** By text, where its ids begin; one more at the end: text i has `ids.subarray(starts[i], starts[i + 1])`. */
  readonly starts: Int32Array
  /** As in {@link EncodedText}, in units of each text; there when `offsets` is set. */
  readonly begins?: Int32Array
  readonly ends?: Int32Array
}

/** Units and texts of one call of the addon: a signal is looked at between two, and memory is bounded. */
const sliceUnits = 1 << 20
const sliceTexts = 1 << 14

/** The texts of each call. */
function* slicesOf(texts: readonly string[]): Generator<string[]> {
  for (let begin = 0, end = 0; begin < texts.length; begin = end) {
    for (let units = 0; end < texts.length && end - begin < sliceTexts && units < sliceUnits; ++end) {
      units += (texts[end] as string).length
    }
    yield texts.slice(begin, end)
  }
}

/** A failure of the addon with the file that it is about; `text` is the index of the first text of the call that failed. */
export function located(folder: string, error: unknown, text = 0, doing = ''): unknown {
  if (!(error instanceof FedloraError) || error.code !== 'E_TOKENIZER' || error.details.folder !== undefined)
    return error
  const message = error.message.replace(/^text (\d+)/, (_, index) => `text ${text + Number(index)}`)
  return new FedloraError(
    'E_TOKENIZER',
    `${isGgufPath(folder) ? folder : `${folder}/tokenizer.json`}: ${doing}${message}`,
    { folder, file: 'tokenizer.json' },
    error,
  )
}

/** Encodes `texts` on threads of the addon, a call a slice. */
export async function encodeSlices(
  handle: NativeTokenizer,
  folder: string,
  texts: readonly string[],
  options: EncodeManyOptions,
): Promise<EncodedTexts> {
  const { offsets = false, continuation = false, threads = 0, signal } = options
  const specialTokens = (options.addSpecialTokens ?? true) && !continuation
  const parts: TextEncodings[] = []
  const starts = new Int32Array(texts.length + 1)
  let text = 0
  for (const slice of slicesOf(texts)) {
    signal?.throwIfAborted()
    let part: TextEncodings
    try {
      part = await handle.encodeMany(slice, { specialTokens, offsets, continues: continuation, threads })
    } catch (error) {
      throw located(folder, error, text)
    }
    const before = starts[text] as number
    for (let i = 1; i <= slice.length; ++i) starts[text + i] = before + (part.starts[i] as number)
    text += slice.length
    parts.push(part)
  }
  signal?.throwIfAborted()
  const ids = concat(parts.map((part) => part.ids))
  if (!offsets) return { ids, starts }
  const column = (of: 'begins' | 'ends') => concat(parts.map((part) => part[of] as Int32Array))
  return { ids, starts, begins: column('begins'), ends: column('ends') }
}
