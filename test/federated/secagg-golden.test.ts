/** Secure aggregation byte by byte: three whole rounds of golden vectors, and the vectors of its field. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { identityOf } from '../../src/federated/protocol/secagg/keys.js'
import type { Said, Told } from '../../src/federated/protocol/secagg/messages.js'
import { neighboursOf, type Setup } from '../../src/federated/protocol/secagg/setup.js'
import { unmask } from '../../src/federated/protocol/secagg/unmask.js'
import { engine, Round } from './support/secagg.js'

interface GoldenClient {
  id: string
  sk_c: string
  sk_s: string
  b: string
  weight: number
  seed: number
  neighbours: number[]
  pk_c: string
  pk_s: string
  signature: string
  x: number[]
  coefficients: { sk_s: string[]; b: string[] }
  sealed: Record<string, string>
  masked: string
  words: string
}

interface GoldenRound {
  name: string
  n: number
  k: number
  threshold: number
  dropped: number[]
  dimension: number
  bits: number
  word_bytes: 2 | 4
  weighted: boolean
  clip: number
  run: string
  round: string
  clients: GoldenClient[]
  recovered: Record<string, { b?: string; sk_s?: string }>
  sum: string
  weight_sum: number
  mean: number[]
  survivors_signature_of_client: number
  survivors_signature: string
}

const golden: { rounds: GoldenRound[]; gf256: { a: number; b: number; product: number }[] } = JSON.parse(
  readFileSync('test/golden/federated/secagg.json', 'utf8'),
)

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex')

function setupOf(given: GoldenRound): Setup {
  return {
    run: bytes(given.run),
    round: bytes(given.round),
    identities: given.clients.map(({ id }) => identityOf(bytes(id))),
    neighbours: given.k,
    threshold: given.threshold,
    length: given.dimension,
    clip: given.clip,
    bits: given.bits,
    wordBytes: given.word_bytes,
    mostWeight: given.weighted ? 200 : null,
  }
}

const roundOf = (given: GoldenRound) =>
  new Round(
    setupOf(given),
    given.clients.map((client) => ({
      identity: bytes(client.id),
      secrets: {
        sealing: bytes(client.sk_c),
        mask: bytes(client.sk_s),
        seed: bytes(client.b),
        coefficients: { mask: bytes(client.coefficients.sk_s.join('')), seed: bytes(client.coefficients.b.join('')) },
      },
      update: {
        values: Float32Array.from(client.x),
        seed: client.seed,
        ...(given.weighted && { weight: client.weight }),
      },
    })),
  )

for (const given of golden.rounds) {
  t.test(given.name, async (t) => {
    const round = roundOf(given)
    t.same(
      neighboursOf(round.setup),
      given.clients.map(({ neighbours }) => neighbours),
      'who meets whom',
    )
    round.run({ masked: given.dropped })
    for (const [u, client] of given.clients.entries()) {
      const said = <T extends string>(type: T) => round.said.find((one) => one.client === u && one.type === type)
      const keys = said('keys') as Said<'keys'>
      t.equal(hex(keys.sealingKey), client.pk_c)
      t.equal(hex(keys.maskKey), client.pk_s)
      t.equal(hex(keys.signature), client.signature, `client ${u} signs its keys`)
      const shares = said('shares') as Said<'shares'>
      t.same(
        Object.fromEntries(shares.sealed.map(({ peer, bytes }) => [peer, hex(bytes)])),
        client.sealed,
        `client ${u} seals its shares`,
      )
      if (given.dropped.includes(u)) continue
      const masked = said('masked') as Said<'masked'>
      t.equal(hex(masked.words), client.masked, `client ${u} masks`)
      t.not(hex(masked.words), client.words, 'canary: the mask is there')
    }
    const signer = given.survivors_signature_of_client
    const signed = round.said.find(({ client, type }) => client === signer && type === 'signed') as Said<'signed'>
    t.equal(hex(signed.signature), given.survivors_signature)
    t.same(
      (round.told.find(({ type }) => type === 'survivors') as Told<'survivors'>).survivors,
      given.clients.map((_, u) => u).filter((u) => !given.dropped.includes(u)),
    )
    const { sum, weight, mean, culprits } = unmask(round.server, engine)
    t.equal(hex(sum), given.sum, 'the sum')
    t.equal(weight, given.weight_sum)
    t.same(culprits, [])
    for (const [i, expected] of given.mean.entries()) t.notOk(!(Math.abs(mean[i]! - expected) <= 1e-12), `mean ${i}`)
  })
}

t.test('the field is that of the golden products', async (t) => {
  for (const { a, b, product } of golden.gf256) {
    // One coefficient a at place b over the secret 0 is the share a·b.
    t.equal(engine.shamirShare(Uint8Array.of(0), Uint8Array.of(a), b)[0], product)
  }
})
