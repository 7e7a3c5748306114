/** A row's segments as ids and labels. */
import { FedloraError } from '../../errors.js'
import type { Segment, TextSegment } from '../formats/format.js'
import { concat } from '../ids/concat.js'
import { notSupervised } from '../ids/labels.js'
import type { LabelledIds } from '../ids/sample.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'

/**
 * The ids of a text that is to be continued: those that the tokenizer gives it, without what it puts behind a text that ends.
 * Training and generation both begin with these.
 */
export function promptIds(tokenizer: Tokenizer, text: string, specialTokens: boolean): number[] {
  const ids = tokenizer.encode(text, { addSpecialTokens: specialTokens })
  return specialTokens ? ids.slice(0, ids.length - tokenizer.specialSuffix.length) : ids
}

/** The ids of one text; a token is supervised when any of the characters that it stands for lies in a supervised stretch. */
function encodeText({ text, specialTokens, supervised }: TextSegment, tokenizer: Tokenizer): LabelledIds {
  if (supervised.length === 0) {
    const ids = Int32Array.from(promptIds(tokenizer, text, specialTokens))
    return { inputIds: ids, labels: new Int32Array(ids.length).fill(notSupervised) }
  }
  const [first] = supervised
  if (first![0] === 0 && first![1] === text.length) {
    const ids = Int32Array.from(promptIds(tokenizer, text, specialTokens))
    return {
      inputIds: ids,
      labels: ids.slice().fill(notSupervised, 0, specialTokens ? tokenizer.specialPrefix.length : 0),
    }
  }
  const { ids, begins, ends } = tokenizer.encodeWithOffsets(text, { addSpecialTokens: specialTokens })
  const count = ids.length - (specialTokens ? tokenizer.specialSuffix.length : 0)
  const labels = new Int32Array(count).fill(notSupervised)
  // Stretches and tokens are both in order: one pass. Special tokens around the text stand for no part of it.
  let at = 0
  for (let i = 0; i < count && at < supervised.length; ++i) {
    while (at < supervised.length && begins[i]! >= supervised[at]![1]) ++at
    if (at < supervised.length && ends[i]! > supervised[at]![0]) labels[i] = ids[i]!
  }
  return { inputIds: ids.subarray(0, count), labels }
}

/**
 * The ids of `text` behind `before`, whose last id is `last`: those of its continuation. Behind nothing it is the beginning of a text, and
 * behind a special token it is what the tokenizer makes of a text that goes on there (some begin anew, with their dummy prefix).
 */
function continuationIds(tokenizer: Tokenizer, before: string, last: number | undefined, text: string): number[] {
  if (before === '') return tokenizer.encode(text, { addSpecialTokens: false })
  if (last !== undefined && tokenizer.specialTokens.has(last)) {
    const mark = tokenizer.decode([last])
    const [first, ...rest] = tokenizer.encode(mark + text, { addSpecialTokens: false })
    if (before.endsWith(mark) && first === last) return rest
  }
  return tokenizer.encodeContinuation(text)
}

/** The ids and labels of a row's segments. @throws E_TOKENIZER when an end token is wanted and the tokenizer has none */
export function encodeSegments(segments: readonly Segment[], tokenizer: Tokenizer): LabelledIds {
  const parts: LabelledIds[] = []
  let before = ''
  const supervised = (ids: number[]) => {
    const inputIds = Int32Array.from(ids)
    parts.push({ inputIds, labels: inputIds })
  }
  for (const segment of segments) {
    if ('text' in segment) {
      parts.push(encodeText(segment, tokenizer))
      before = segment.text
    } else if ('continuation' in segment) {
      supervised(continuationIds(tokenizer, before, parts.at(-1)?.inputIds.at(-1), segment.continuation))
    } else if ('ids' in segment)
      parts.push({ inputIds: Int32Array.from(segment.ids), labels: Int32Array.from(segment.labels) })
    else {
      const last = parts.findLast(({ inputIds }) => inputIds.length > 0)?.inputIds.at(-1)
      if (last === undefined || !tokenizer.endTokens.includes(last)) supervised([endToken(tokenizer)])
    }
  }
  return { inputIds: concat(parts.map((part) => part.inputIds)), labels: concat(parts.map((part) => part.labels)) }
}

function endToken(tokenizer: Tokenizer): number {
  if (tokenizer.eosToken !== undefined) return tokenizer.eosToken
  throw new FedloraError(
    'E_TOKENIZER',
    `${tokenizer.folder}: names no end token; set eos_token in tokenizer_config.json or eos_token_id in generation_config.json`,
    { folder: tokenizer.folder },
  )
}
