/** `fedlora join --flower URL` is `fedlora flower join URL`. */
import t from 'tap'
import { joinWords } from '../../src/cli/join-words.js'

for (const [what, words, expected] of [
  [
    'a URL behind the flag',
    ['join', '--flower', 'https://h:1', '--key', 'k'],
    ['flower', 'join', 'https://h:1', '--key', 'k'],
  ],
  [
    'other flags before it',
    ['join', '--key', 'k', '--flower', 'u', '--json'],
    ['flower', 'join', 'u', '--key', 'k', '--json'],
  ],
  ['an equals sign', ['join', '--flower=u', '--data', 'd'], ['flower', 'join', 'u', '--data', 'd']],
  ['a token', ['join', 'fedlora_A', '--data', 'd'], ['join', 'fedlora_A', '--data', 'd']],
  ['no URL', ['join', '--flower'], ['join', '--flower']],
  ['a flag where the URL should be', ['join', '--flower', '--json'], ['join', '--flower', '--json']],
  ['another command', ['train', '--flower', 'u'], ['train', '--flower', 'u']],
  ['nothing', [], []],
] as const) {
  t.same(joinWords(words), expected, what)
}
