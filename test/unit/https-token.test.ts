import { randomBytes } from 'node:crypto'
import t from 'tap'
import { formatJoinToken, type JoinToken, parseJoinToken } from '../../src/federated/https/join-token.js'

const token: JoinToken = {
  address: 'https://fed.example.org:8443/lora',
  run: randomBytes(16).toString('hex'),
  key: randomBytes(32).toString('base64url'),
  secret: randomBytes(32).toString('base64url'),
  pin: randomBytes(32).toString('hex'),
}

t.test('a token is one word, and says what it was made from, however it was pasted', async (t) => {
  const word = formatJoinToken(token)
  t.match(word, /^fedlora_[A-Za-z0-9_-]+$/)
  t.same(parseJoinToken(word), token)
  t.same(parseJoinToken(`  ${word.slice(0, 70)}\r\n\t ${word.slice(70)}\n`), token, 'with the breaks of a mail')
  const { pin: _, ...open } = token
  t.same(parseJoinToken(formatJoinToken(open)), open, 'without a pin')
  t.same(parseJoinToken(formatJoinToken({ ...token, address: 'https://[::1]:8443/' })).address, 'https://[::1]:8443')
})

t.test('every cut, every changed letter and every foreign text is E_TOKEN', async (t) => {
  const word = formatJoinToken(token)
  const wrong = (text: unknown) => {
    try {
      parseJoinToken(text as string)
    } catch (error) {
      return (error as { code?: string }).code === 'E_TOKEN'
    }
    return false
  }
  t.notOk(wrong(word), 'canary: a good one')
  for (let length = 0; length < word.length; length++) if (!wrong(word.slice(0, length))) t.fail(`cut to ${length}`)
  for (let at = 0; at < word.length; at++) {
    const other = word[at] === 'A' ? 'B' : 'A'
    if (!wrong(word.slice(0, at) + other + word.slice(at + 1))) t.fail(`letter ${at}`)
  }
  const foreign = [
    '',
    'fedlora_',
    'fedlora_AAAA',
    `${word}A`,
    word.toUpperCase(),
    `${word}=`,
    'https://x/',
    'x'.repeat(1e6),
    '\u0000',
    '__proto__',
  ]
  for (const text of [...foreign, undefined, null, 5, {}, [word]]) t.ok(wrong(text), String(text).slice(0, 40))
})

t.test('addresses are https and hold no more than host, port and path', async (t) => {
  for (const address of ['http://x', 'https://a:b@x', 'https://x/?q', 'https://x/#h', 'nowhere', 'file:///etc']) {
    t.throws(() => formatJoinToken({ ...token, address }), { code: 'E_TOKEN' }, address)
  }
  t.throws(() => formatJoinToken({ ...token, secret: '' }), { code: 'E_TOKEN' })
  t.throws(() => formatJoinToken({ ...token, secret: 'x'.repeat(256) }), { code: 'E_TOKEN' })
})
