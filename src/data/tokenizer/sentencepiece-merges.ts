/**
 * Merges of a sentencepiece BPE out of its pieces: a piece is made of every two others that it is the sum of, the best piece first. Of one
 * piece, the pair whose parts come first in the vocabulary is tried first. Source: transformers 5.24, convert_slow_tokenizer.py.
 */

/** Pieces that a text's characters cannot be merged into: control, byte. */
const unmergedTypes = new Set([3, 6])

/** Pairs of pieces, in the order in which they are merged. */
export function mergesByScore(
  tokens: readonly string[],
  scores: readonly number[],
  types: readonly number[],
): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const merges: { left: number; right: number; score: number }[] = []
  tokens.forEach((token, id) => {
    if (unmergedTypes.has(types[id] ?? 1)) return
    const letters = Array.from(token)
    let left = ''
    const own: typeof merges = []
    for (let i = 0; i + 1 < letters.length; ++i) {
      left += letters[i]
      const first = ids.get(left)
      if (first === undefined) continue
      const second = ids.get(token.slice(left.length))
      if (second !== undefined) own.push({ left: first, right: second, score: scores[id] as number })
    }
    merges.push(...own.sort((a, b) => a.left - b.left || a.right - b.right))
  })
  return merges.sort((a, b) => b.score - a.score).map(({ left, right }) => [tokens[left]!, tokens[right]!])
}
