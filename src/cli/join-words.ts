/** `fedlora join --flower URL …` says the same as `fedlora flower join URL …`: the words of either, as the latter has them. */
export function joinWords(words: readonly string[]): readonly string[] {
  if (words[0] !== 'join') return words
  const at = words.findIndex((word) => word === '--flower' || word.startsWith('--flower='))
  if (at < 0) return words
  const joined = words[at]!.startsWith('--flower=')
  const url = joined ? words[at]!.slice('--flower='.length) : words[at + 1]
  if (url === undefined || url.startsWith('--')) return words // join itself says what is missing
  return ['flower', 'join', url, ...words.slice(1, at), ...words.slice(at + (joined ? 1 : 2))]
}
