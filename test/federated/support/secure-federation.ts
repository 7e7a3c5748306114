/** Federations of secure aggregation in one process: a server over a journal in memory, real clients that train, and the same federation simulated. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { joinFederation } from '../../../src/client/index.js'
import type { Dataset } from '../../../src/data/index.js'
import { MemoryBlobs } from '../../../src/federated/blobs/memory.js'
import { Coordinator, type CoordinatorParts } from '../../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../../src/federated/coordinator/events.js'
import type { CoordinatorOptions } from '../../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../../src/federated/coordinator/records.js'
import type { RoundEvent } from '../../../src/federated/events.js'
import { MemoryJournal } from '../../../src/federated/journal/memory.js'
import { InProcessLink } from '../../../src/federated/link/in-process.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import { identityOf } from '../../../src/federated/protocol/secagg/keys.js'
import { simulate } from '../../../src/federated/simulate/simulate.js'
import { loadModel } from '../../../src/model/load.js'
import type { Model } from '../../../src/model/model.js'
import { goldenFolder } from '../../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../../support/train.js'
import { IdleClock } from './idle-clock.js'

export const path = goldenFolder('llama')
export const adapter = { rank: 2, alpha: 8, seed: 2 }
export const names = ['a', 'b', 'c', 'd']
export const secureAggregation = { threshold: 2, clip: 0.25, bits: 16 }
export const federation = {
  rounds: 2,
  seed: 11,
  local: { steps: 1, batchSize: 2, learningRate: 1e-2 },
  secureAggregation,
}

export const openModel = () => loadModel(path, { quantization: 'nf4', threads: 1 })
export const rowsOf = (some: readonly string[] = names): Promise<Dataset[]> =>
  Promise.all(some.map((name) => tokenRows(3 + (name.charCodeAt(0) % 5), 263, 17 * name.charCodeAt(0))))

/** A private key, and the public one as the server's registry has it. */
export interface Key {
  identity: Uint8Array
  key: string
}
export function newKey(): Key {
  const identity = new Uint8Array(randomBytes(32))
  return { identity, key: Buffer.from(identityOf(identity)).toString('base64url') }
}

export const configOf = (changes: Partial<CoordinatorOptions> = {}): CoordinatorOptions => ({
  model: { path, quantization: 'nf4' },
  adapter,
  data: { format: 'tokens' },
  clients: { minimum: names.length, deadline: null },
  federation,
  ...changes,
})

/** A server, its journal and blobs, and the clients that have joined. */
export async function openServer(
  changes: Partial<CoordinatorOptions> = {},
  parts: Partial<CoordinatorParts> = {},
  some = names,
) {
  const journal = new MemoryJournal<Entry>()
  const blobs = new MemoryBlobs()
  const coordinator = await Coordinator.open({ journal, blobs, config: configOf(changes), ...parts })
  const keys = new Map<string, Key>()
  for (const name of some) {
    const made = newKey()
    keys.set(name, made)
    await coordinator.enroll((await coordinator.invite(name, 60)).token, made.key)
  }
  const link = (name: string): ClientLink => new InProcessLink(() => coordinator, name, keys.get(name)!.identity)
  return { coordinator, journal, blobs, keys, link }
}

export const adapterIn = (folder: string) => readFileSync(join(folder, 'adapter', 'adapter_model.safetensors'))

/** The same federation simulated: the adapter's bytes, and its rounds. */
export async function simulated(
  model: Model,
  rows: readonly Dataset[],
  options: CoordinatorOptions['federation'] = federation,
  some = names,
) {
  const folder = temporaryFolder('secure-simulated')
  const clients = some.map((name, i) => ({ name, train: rows[i]! }))
  const run = simulate({ model, adapter, clients, outputDir: folder, ...options })
  const rounds: RoundEvent[] = []
  for await (const event of run) if (event.type === 'round') rounds.push(event)
  ;(await run).adapter.dispose()
  return { bytes: adapterIn(folder), rounds }
}

/** All clients of a server, until the federation is over. */
export async function takePart(
  model: Model,
  rows: readonly Dataset[],
  linkOf: (name: string) => ClientLink,
  some = names,
) {
  return await Promise.all(
    some.map((name, i) =>
      joinFederation({ link: linkOf(name), data: rows[i]!, model, folder: temporaryFolder(`secure-${name}`) }),
    ),
  )
}

export type Change = (link: ClientLink, name: string) => ClientLink

/** A federation between parties, until its end. Its time passes while nobody has anything to do. */
export async function served(
  model: Model,
  rows: readonly Dataset[],
  options: CoordinatorOptions['federation'],
  change: Change = (link) => link,
) {
  const folder = temporaryFolder('secure-served')
  const clock = new IdleClock()
  const clients = { minimum: names.length, deadline: 1000 }
  const parts = { folder, now: clock.now, after: clock.after }
  const server = await openServer({ federation: options, clients }, parts)
  const { coordinator } = server
  const events: CoordinatorEvent[] = []
  coordinator.onEvent((event) => events.push(event))
  const taking = takePart(model, rows, (name) => clock.watch(change(server.link(name), name)))
  const results = await clock.run(
    async () => coordinator,
    () => names.length,
    taking,
  )
  await coordinator.over
  await coordinator.close()
  const rounds = events.filter((event): event is RoundEvent => event.type === 'round')
  return { events, results, rounds, bytes: adapterIn(folder) }
}

/** What a round reports that does not depend on its machine. */
export const figures = (rounds: readonly RoundEvent[]) =>
  rounds.map(({ seconds, tokensPerSecond, peakBytes, cosine, flop, ...rest }) => rest)

/** Secure aggregation, where values of an algorithm may be great. */
export const wide = { threshold: 2, clip: 4, bits: 16 }

const refused = (error: { code?: string; message: string }) => `${error.code}: ${error.message}`

/** One round between parties comes to what it comes to in simulate: the same bits and figures, or the same refusal. */
export async function asInSimulate(t: Test, model: Model, rows: readonly Dataset[], options: object): Promise<void> {
  const all = { ...federation, rounds: 1, ...options }
  const expected = await simulated(model, rows, all).catch(refused)
  const got = await served(model, rows, all).catch(refused)
  if (typeof expected === 'string' || typeof got === 'string') {
    t.equal(got, expected, 'refused in the same words')
    t.match(expected, /^E_CONFIG/)
    return
  }
  t.ok(got.bytes.equals(expected.bytes), 'the bits')
  t.same(figures(got.rounds), figures(expected.rounds), 'and the figures')
}
