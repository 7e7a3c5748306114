/**
 * What a server of a secure aggregation holds: of one client uniform words and, in everything that can be reached from the server, no update;
 * of a secret too few shares, which say nothing of it. Seeds are fixed, and each test must call a leak wrong.
 */
import { Session } from 'node:inspector'
import t from 'tap'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { downloadSchema } from '../../src/federated/download-options.js'
import type { Answer } from '../../src/federated/protocol/messages.js'
import { deriveSeed, streamOf } from '../../src/federated/protocol/random.js'
import { maskKeyOf, selfKeyOf } from '../../src/federated/protocol/secagg/agreed.js'
import { agreementKeyOf } from '../../src/federated/protocol/secagg/keys.js'
import type { Said } from '../../src/federated/protocol/secagg/messages.js'
import { spaceOf } from '../../src/federated/protocol/space.js'
import { termsOf } from '../../src/federated/secure-aggregation-options.js'
import { Server } from '../../src/federated/server/server.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/step.js'
import { MaskedClients } from '../../src/federated/simulate/masked-clients.js'
import { Random } from '../../src/random/random.js'
import { bytesAt, engine, identityAt, Round, setupOf } from './support/secagg.js'

/** χ² of the bytes' counts against all equal: 255 degrees of freedom, standard deviation 22.6. */
function chiSquare(bytes: Uint8Array): number {
  const counts = new Float64Array(256)
  for (const byte of bytes) counts[byte]!++
  const expected = bytes.length / 256
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}
/** Beyond it lies a millionth of uniform samples: 255 + 5 · 22.6, and the tail's bend. */
const bound = 385

const random = new Random(3, 41)
const drawn = (length: number) => Uint8Array.from({ length }, () => random.word() & 255)

t.test('what a client sends is uniform, and stays so when either kind of mask is known', async (t) => {
  const setup = setupOf(5, { threshold: 3, length: 4095 })
  const secrets = setup.identities.map(() => ({
    sealing: drawn(32),
    mask: drawn(32),
    seed: drawn(32),
    coefficients: { mask: drawn(64), seed: drawn(64) },
  }))
  const values = Float32Array.from({ length: setup.length }, () => random.normal() / 4)
  const round = new Round(
    setup,
    setup.identities.map((_, client) => ({
      identity: identityAt(client),
      secrets: secrets[client]!,
      update: { values, weight: 7, seed: client },
    })),
  ).run({}, 'masked')
  const { words } = round.said.find(({ client, type }) => client === 2 && type === 'masked') as Said<'masked'>
  const keys = [0, 1, 3, 4].map((peer) =>
    maskKeyOf(setup, secrets[2]!.mask, agreementKeyOf(secrets[peer]!.mask), 2, peer),
  )
  const self = selfKeyOf(setup, secrets[2]!.seed, 2)
  /** The words without masks: those with greater peers were added, those with lesser ones subtracted. */
  const without = (own: boolean, peers: readonly number[]) => {
    const rest = words.slice()
    const [added, subtracted] = [peers.filter((i) => i < 2), peers.filter((i) => i >= 2)]
    const list = (places: readonly number[]) => Buffer.concat(places.map((i) => keys[i]!))
    engine.addMasks(rest, 4, list(added), Buffer.concat([list(subtracted), ...(own ? [self] : [])]))
    return chiSquare(rest)
  }
  t.ok(without(false, []) < bound, `all masks: ${without(false, [])}`)
  t.ok(without(true, []) < bound, 'its seed is known, as of a survivor')
  t.ok(without(false, [0, 1, 2, 3]) < bound, 'its mask key is known, as of a lost one')
  t.ok(without(true, [0, 1, 2]) < bound, 'one peer alone keeps its mask')
  t.ok(without(true, [0, 1, 2, 3]) > 1000, `canary: no mask is left: ${without(true, [0, 1, 2, 3])}`)
})

t.test('shares of one secret are uniform, one by one and t − 1 together', async (t) => {
  const secret = bytesAt(5, 32)
  const bytes: number[] = []
  const differences: number[] = []
  const joined: number[] = []
  for (let i = 0; i < 600; i++) {
    const coefficients = drawn(64)
    const [a, b, c] = [1, 2, 3].map((place) => engine.shamirShare(secret, coefficients, place))
    bytes.push(...a!)
    differences.push(...a!.map((byte, j) => byte ^ b![j]! ^ secret[j]!))
    joined.push(...engine.shamirJoin(Uint8Array.of(1, 2, 3), Buffer.concat([a!, b!, c!]), 0))
  }
  t.ok(chiSquare(Uint8Array.from(bytes)) < bound)
  t.ok(chiSquare(Uint8Array.from(differences)) < bound)
  t.ok(chiSquare(Uint8Array.from(joined)) > 1000, 'canary: t shares together are the secret')
})

/** Every typed array and buffer that can be reached from a value, private fields and closures' holders included, as a debugger sees them. */
function memoryOf(root: unknown): Uint8Array[] {
  const session = new Session()
  session.connect()
  const found: ArrayBufferView[] = []
  const place = '__reached'
  const reached = { root, found }
  Object.assign(globalThis, { [place]: reached })
  const post = <R>(method: string, params: object): R => {
    let answer: R | undefined
    session.post(method, params, (error, result) => {
      if (error) throw error
      answer = result as R
    })
    return answer!
  }
  interface Remote {
    type: string
    subtype?: string
    objectId?: string
  }
  interface Properties {
    result: { value?: Remote }[]
    internalProperties?: { name: string; value?: Remote }[]
    privateProperties?: { value?: Remote }[]
  }
  const mark = `function () { const seen = (globalThis.${place}.seen ??= new WeakSet()); if (seen.has(this)) return true; seen.add(this); if (ArrayBuffer.isView(this)) globalThis.${place}.found.push(this); return ArrayBuffer.isView(this) }`
  const waiting: Remote[] = [
    post<{ result: Remote }>('Runtime.evaluate', { expression: `globalThis.${place}.root` }).result,
  ]
  while (waiting.length > 0) {
    const { objectId } = waiting.pop()!
    const known = post<{ result: { value: boolean } }>('Runtime.callFunctionOn', {
      objectId,
      functionDeclaration: mark,
      returnByValue: true,
    })
    if (known.result.value) continue
    const properties = post<Properties>('Runtime.getProperties', { objectId, ownProperties: true })
    const inner = [
      ...properties.result,
      ...(properties.internalProperties ?? []).filter(({ name }) => name === '[[Entries]]'),
      ...(properties.privateProperties ?? []),
    ]
    for (const { value } of inner) if (value?.type === 'object' && value.objectId !== undefined) waiting.push(value)
  }
  session.disconnect()
  Reflect.deleteProperty(globalThis, place)
  return found.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength))
}

t.test('nothing that can be reached from the server holds an update, before, amid or after a round', async (t) => {
  const module = 'model.layers.0.self_attn.q_proj'
  const layout = [
    { name: `base_model.model.${module}.lora_A.weight`, shape: [2, 8] as const, offset: 0, length: 16 },
    { name: `base_model.model.${module}.lora_B.weight`, shape: [8, 2] as const, offset: 16, length: 16 },
  ]
  const space = spaceOf(layout, [{ module, rank: 2, scaling: 2 }])
  const options = { threshold: 3, clip: 1, bits: 16, wordBits: 32 } as const
  const server = new Server({
    chosen: chooseAlgorithm('fedavg'),
    config: {
      rounds: 1,
      seed: 1,
      serverOptimizer: serverOptimizerSchema.parse({ name: 'none' }),
      download: downloadSchema.parse({}),
      secureAggregation: options,
    },
    space,
    initial: new Float32Array(space.length),
    population: 5,
  })
  t.teardown(() => server.dispose())
  const names = ['a', 'b', 'c', 'd', 'e']
  const updates = names.map(() => Float32Array.from({ length: space.length }, () => random.normal() / 4))
  /** The first sixteen bytes of each update, as it was and as words by its weight. */
  const patterns = updates.flatMap((values, client) => {
    const words = new Uint8Array(4 * values.length)
    const seed = deriveSeed(1, 'encoding', 1, streamOf(names[client]!))
    const draws = { weight: 4 + client, seed, stream: 24 * 2 ** 32 + client }
    engine.quantizeWeighted(values, words, { clip: 1, bits: 16, wordBytes: 4, ...draws })
    return [Buffer.from(values.buffer, 0, 16), Buffer.from(words.buffer, 0, 16)]
  })
  const leaks = () => {
    const memory = memoryOf(server)
    return {
      held: memory.length,
      leaks: memory.filter((bytes) => patterns.some((some) => Buffer.from(bytes).includes(some))).length,
    }
  }
  const masked = new MaskedClients(server.masked!, termsOf(options, 5, 10), 1)
  await server.begin()
  masked.begin(1, names, () => undefined)
  for (const [i, client] of names.entries()) {
    const answer: Answer = {
      version: 1,
      round: 1,
      client,
      rows: 4 + i,
      steps: 1,
      tokens: 9,
      loss: 1,
      vectors: {},
      numbers: {},
      masked: masked.mask(client, { adapter: updates[i]! }, 4 + i),
    }
    await server.accept(answer, space)
    const { held, leaks: found } = leaks()
    t.ok(held > 30, `${held} pieces of memory were looked at`)
    t.equal(found, 0, `after ${client}`)
  }
  masked.end()
  const { means, abandoned } = await server.finish(1, 1)
  t.equal(abandoned, undefined)
  t.equal(leaks().leaks, 0, 'after the round')
  const total = names.reduce((sum, _, i) => sum + 4 + i, 0)
  for (const i of [0, 7, 31]) {
    const exact = updates.reduce((sum, values, k) => sum + ((4 + k) / total) * Math.min(Math.max(values[i]!, -1), 1), 0)
    t.notOk(!(Math.abs(means.adapter![i]! - exact) <= 2 / 65535 + 1e-7))
  }
  server.state.vectors.leak = updates[3]!
  t.equal(leaks().leaks, 1, 'canary: an update among the server’s vectors is found')
})
