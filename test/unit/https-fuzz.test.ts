/** Parsers of foreign bytes under random and mutated inputs: they answer or refuse by a code, and nothing else. FEDLORA_FUZZ says how many. */
import t from 'tap'
import { proxyFor } from '../../src/federated/https/client/proxy.js'
import { checkContentDigest } from '../../src/federated/https/digest.js'
import { formatJoinToken, parseJoinToken } from '../../src/federated/https/join-token.js'
import { makeSigningKey, publicKeyOf } from '../../src/federated/https/keys.js'
import { errorOf } from '../../src/federated/https/problem.js'
import { findRoute } from '../../src/federated/https/server/router.js'
import { readSignature, signMessage } from '../../src/federated/https/signature.js'
import { innerListText, parseDictionary } from '../../src/federated/https/structured-fields.js'
import { wholeNumber } from '../../src/federated/https/wire.js'
import { FedloraError } from '../../src/index.js'
import { Random } from '../../src/random/random.js'

const count = Number(process.env.FEDLORA_FUZZ ?? 2_000)
const random = new Random(12, 1)
const below = (n: number) => Math.floor(random.uniform() * n)

const key = makeSigningKey()
const token = formatJoinToken({
  address: 'https://a:1/b',
  run: 'ab'.repeat(16),
  key: key.name,
  secret: 'secret',
  pin: 'cd'.repeat(32),
})
const covered = [
  ['"@method"', 'GET'],
  ['"@target-uri"', 'https://a/'],
  ['"fedlora-protocol"', '1'],
] as const
const fields = signMessage(covered, { created: 1, nonce: 'n'.repeat(22), keyid: key.name }, key.private)
const dictionary = 'a=("x" "y;z";p=:AQI=:;q);n=-15;t=tok/en;b=?0, c=:AQI=:;v=1.5, d, e="\\"\\\\"'

const letters = '()";:=,?*+/-_. \\\t\r\n\u0000\u00e9\ud800aZ09{}[]'

/** The text with a few of its parts changed, doubled, cut, or with others among them. */
function mutate(text: string): string {
  let made = text
  for (let times = 1 + below(4); times > 0; times--) {
    const [at, length] = [below(made.length + 1), below(8)]
    const piece = made.slice(at, at + length)
    const inserted = [letters[below(letters.length)]!, piece + piece, String(below(1e9)), letters.slice(below(20)), ''][
      below(5)
    ]!
    made = made.slice(0, at) + inserted + made.slice(at + (below(2) === 0 ? length : 0))
  }
  return made
}

const noise = (length: number) => Array.from({ length: below(length) }, () => letters[below(letters.length)]).join('')

function fuzz(
  name: string,
  seeds: readonly string[],
  codes: readonly string[],
  parse: (text: string) => unknown,
): void {
  t.test(name, async (t) => {
    let [taken, refused] = [0, 0]
    for (let i = 0; i < count; i++) {
      const text = i % 4 === 0 ? noise(80) : mutate(seeds[i % seeds.length]!)
      try {
        parse(text)
        taken++
      } catch (error) {
        if (!(error instanceof FedloraError) || !codes.includes(error.code)) {
          t.fail(`${JSON.stringify(text)}: ${error}`)
          return
        }
        refused++
      }
    }
    t.equal(taken + refused, count)
    for (const seed of seeds) parse(seed)
  })
}

fuzz('join tokens: every one that is taken is one that was made', [token], ['E_TOKEN'], (text) => {
  const made = formatJoinToken(parseJoinToken(text))
  if (made !== text.replace(/\s+/g, '')) throw new Error(`read as ${made}`)
})
fuzz(
  'structured fields: what is taken is written as it is read',
  [dictionary, fields['signature-input']],
  ['E_FORMAT'],
  (text) => {
    for (const member of parseDictionary(text).values()) {
      if (!('items' in member)) continue
      const written = innerListText(member)
      const again = parseDictionary(`k=${written}`).get('k')
      if (again === undefined || !('items' in again) || innerListText(again) !== written)
        throw new Error(`not stable: ${written}`)
    }
  },
)
fuzz('signature-input', [fields['signature-input']], ['E_AUTH'], (text) => readSignature(text, fields.signature))
fuzz('signature', [fields.signature], ['E_AUTH'], (text) => readSignature(fields['signature-input'], text))
fuzz('names of keys', [key.name], [], (text) => publicKeyOf(text))
fuzz('problems', ['{"code":"E_RATE","detail":"x","details":{"retryAfter":1}}'], [], (text) => errorOf(text))
fuzz('numbers in fields', ['1234567890'], [], (text) => {
  const value = wholeNumber(text)
  if (value !== undefined && String(value) !== text) throw new Error(`${value}`)
})
fuzz('content digests', ['sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:'], ['E_HASH', 'E_FORMAT'], (text) =>
  checkContentDigest(text, Buffer.from('abc')),
)
fuzz('paths', ['/v1/blobs/ab12?x=1', '/v1/run'], ['E_MISSING', 'E_UNSUPPORTED'], (text) => {
  const { last } = findRoute(
    [
      { name: '', method: 'GET', path: '/v1/run', handle: 0 },
      { name: '', method: 'GET', path: '/v1/blobs/', last: /^[0-9a-f]{4}$/, handle: 0 },
    ],
    'GET',
    text,
  )
  if (!/^([0-9a-f]{4})?$/.test(last)) throw new Error(last)
})
fuzz('proxies of the environment', ['http://user:word@proxy:8080'], ['E_CONFIG'], (text) =>
  proxyFor(new URL('https://x.org'), { HTTPS_PROXY: text, NO_PROXY: text }),
)
