/** The checker of federations that were killed: a record, a word or a step that is wrong is called so, by the rule that it breaks. */
import t from 'tap'
import { messageText } from '../../src/federated/link/secure.js'
import { bufferViolations } from './kill/buffered-invariants.mjs'
import { violations } from './kill/invariants.mjs'

const manifest = (blob: string, rows: number) => ({ blob: { blob, bytes: 8 }, answer: { rows } })
const updates: Record<string, Float32Array> = {
  a1: Float32Array.of(1, 2),
  b1: Float32Array.of(-1, 0.5),
  a2: Float32Array.of(0.25, 0.25),
}

// biome-ignore lint/suspicious/noExplicitAny: what is planted has every shape
type Fact = any

/** Two rounds of two clients, of whom one does not answer in the second. */
function facts() {
  const records: Fact[] = [
    { type: 'run' },
    { type: 'begin', round: 1, clients: ['a', 'b'] },
    { type: 'accepted', round: 1, client: 'b', manifest: manifest('b1', 3) },
    { type: 'accepted', round: 1, client: 'a', manifest: manifest('a1', 1) },
    { type: 'spend', round: 1, spends: [['run', { epsilon: 1, delta: 1e-6 }]] },
    { type: 'commit', round: 1, counted: ['a', 'b'] },
    { type: 'begin', round: 2, clients: ['a', 'b'] },
    { type: 'accepted', round: 2, client: 'a', manifest: manifest('a2', 1) },
    { type: 'failed', round: 2, client: 'b' },
    { type: 'spend', round: 2, spends: [['run', { epsilon: 1.5, delta: 1e-6 }]] },
    { type: 'commit', round: 2, counted: ['a'] },
  ]
  const notes: Fact[] = [
    { type: 'answer', client: 'b', round: 1, blob: 'b1', reply: 'taken' },
    { type: 'answer', client: 'a', round: 1, blob: 'a1', reply: 'taken' },
    { type: 'outcome', client: 'a', round: 1, counted: true },
    { type: 'answer', client: 'a', round: 2, blob: 'a2', reply: 'taken' },
    { type: 'outcome', client: 'b', round: 2, counted: false },
  ]
  // (1 - 3) / 4 + 0.25 and (2 + 1.5) / 4 + 0.25
  return { records, notes, initial: Float32Array.of(0, 0), final: Float32Array.of(-0.25, 1.125) }
}

type Facts = ReturnType<typeof facts>

/** A client's word in a secure aggregation. */
const said = (client: string, phase: string, message: string): Fact => ({
  ...{ type: 'said', round: 1, client, phase, message },
})
const shares = (seeds: readonly number[], maskKeys: readonly number[]): string => {
  const of = (peers: readonly number[]) => peers.map((peer) => ({ peer, bytes: new Uint8Array(32) }))
  return messageText({ type: 'revealed', seeds: of(seeds), maskKeys: of(maskKeys) } as never)
}

const judge = ({ records, ...rest }: Facts) =>
  violations({
    entries: records.map((record, i) => ({ sequence: i + 1, record })),
    update: (blob: string) => updates[blob],
    ...rest,
  })

t.test('what is right is called right', async (t) => {
  t.same(judge(facts()), [])
})

t.test('what is wrong is called by its rule', async (t) => {
  const planted: [rule: string, plant: (facts: Facts) => void][] = [
    ['once', ({ records }) => records.splice(4, 0, records[3])],
    ['once', ({ records }) => records.splice(2, 0, { ...records[2], client: 'c' })],
    ['once', ({ records }) => records.splice(6, 0, records[2])],
    ['once', ({ records }) => records.splice(4, 0, records[1])],
    [
      'counted',
      ({ records }) => {
        records[5].counted = ['a']
      },
    ],
    [
      'counted',
      ({ records }) => {
        records[5].counted = ['a', 'b', 'c']
      },
    ],
    ['counted', ({ records }) => void records.splice(3, 1)],
    ['said', ({ records }) => void records.splice(4, 0, said('c', 'keys', 'a key'))],
    ['said', ({ records }) => void records.splice(4, 0, said('a', 'keys', 'one'), said('a', 'keys', 'two'))],
    ['said', ({ notes }) => void notes.push({ type: 'said', client: 'a', round: 1, message: 'lost', reply: 'taken' })],
    [
      'said',
      ({ records }) =>
        void records.splice(4, 0, said('a', 'revealed', shares([7], [])), said('b', 'revealed', shares([], [7]))),
    ],
    ['counted', ({ records }) => void records.pop()],
    ['counted', ({ records }) => records.push(records[10])],
    ['kept', ({ records }) => void records.splice(7, 1, { type: 'failed', round: 2, client: 'a' })],
    [
      'kept',
      ({ notes }) => {
        notes[0].blob = 'a1'
      },
    ],
    [
      'kept',
      ({ records }) => {
        records[10] = { type: 'abandon', round: 2 }
      },
    ],
    [
      'kept',
      ({ records }) => {
        records[2].manifest = manifest('unknown', 3)
      },
    ],
    [
      'told',
      ({ notes }) => {
        notes[2].counted = false
      },
    ],
    [
      'told',
      ({ notes }) => {
        notes[4].counted = true
      },
    ],
    [
      'fold',
      (facts) => {
        facts.final[0]! += 2 ** -18
      },
    ],
    [
      'fold',
      (facts) => {
        facts.final[1] = Number.NaN
      },
    ],
    [
      'fold',
      (facts) => {
        facts.final = Float32Array.of(-0.25)
      },
    ],
    [
      'fold',
      ({ records }) => {
        records[2].manifest = manifest('b1', 6)
      },
    ],
    [
      'spent',
      ({ records }) => {
        records[9].spends[0][1].epsilon = 0.9
      },
    ],
    [
      'spent',
      ({ records }) => {
        records[9].spends[0][1].epsilon = Number.NaN
      },
    ],
  ]
  for (const [rule, plant] of planted) {
    const one = facts()
    plant(one)
    const found = judge(one)
    t.ok(
      found.some((line) => line.startsWith(`${rule}:`)),
      `${rule}: ${plant}`,
      { found },
    )
  }
})

/** Two steps of two answers each among three clients, of whom two may be at work; one answer of the second is a step behind. */
function bufferFacts() {
  const begun = (round: number, ...clients: string[]) => ({ type: 'start', round, work: [{ clients }] })
  const accepted = (round: number, client: string, blob: string, rows: number) => ({
    type: 'accepted',
    round,
    client,
    manifest: manifest(blob, rows),
  })
  const asynchronous = { buffer: 2, concurrency: 2, exponent: 1 }
  const records: Fact[] = [
    { type: 'run', description: { federation: { asynchronous } } },
    begun(1, 'a', 'b'),
    accepted(1, 'b', 'b1', 3),
    begun(1, 'c'),
    { type: 'failed', round: 1, client: 'c' },
    accepted(1, 'a', 'a1', 1),
    { type: 'commit', round: 1, counted: ['a', 'b'] },
    begun(2, 'a', 'c'),
    accepted(2, 'a', 'a2', 1),
    begun(2, 'b'),
    { type: 'revoked', client: 'b' },
    { type: 'exhausted', round: 2 },
    { type: 'commit', round: 2, counted: ['a'] },
    begun(3, 'a'),
    accepted(2, 'c', 'b1', 1),
    accepted(3, 'a', 'a1', 1),
    { type: 'commit', round: 3, counted: ['a', 'c'] },
  ]
  const notes: Fact[] = [
    { type: 'answer', client: 'b', round: 1, blob: 'b1', reply: 'taken' },
    { type: 'outcome', client: 'b', round: 1, counted: true },
    { type: 'outcome', client: 'c', round: 1, counted: false },
    { type: 'answer', client: 'c', round: 2, blob: 'b1', reply: 'taken' },
    { type: 'outcome', client: 'c', round: 2, counted: true },
  ]
  // (1 - 3) / 4 + 0.25 + (-1 / 2 + 1) / 2 and (2 + 1.5) / 4 + 0.25 + (0.5 / 2 + 2) / 2
  return { records, notes, initial: Float32Array.of(0, 0), final: Float32Array.of(0, 2.25) }
}

const judgeBuffers = ({ records, ...rest }: ReturnType<typeof bufferFacts>) =>
  bufferViolations({
    entries: records.map((record, i) => ({ sequence: i + 1, record })),
    update: (blob: string) => updates[blob],
    ...rest,
  })

t.test('without rounds: what is right is called right, and what is wrong by its rule', async (t) => {
  t.same(judgeBuffers(bufferFacts()), [])
  const planted: [rule: string, plant: (facts: ReturnType<typeof bufferFacts>) => void][] = [
    ['once', ({ records }) => records.splice(3, 0, records[2])],
    ['once', ({ records }) => (records[5].round = 2)],
    ['once', ({ records }) => records.splice(5, 0, { ...records[5], client: 'c' })],
    ['room', ({ records }) => records[1].work[0].clients.push('c')],
    ['room', ({ records }) => records.splice(8, 0, records[7])],
    ['room', ({ records }) => (records[7].round = 1)],
    ['counted', ({ records }) => records[6].counted.pop()],
    ['counted', ({ records }) => records.splice(11, 1)],
    ['counted', ({ records }) => (records[12].round = 3)],
    ['kept', ({ notes }) => (notes[0].blob = 'a1')],
    ['kept', ({ records }) => records.splice(16, 1)],
    ['told', ({ notes }) => (notes[1].counted = false)],
    ['told', ({ notes }) => (notes[2].counted = true)],
    ['fold', ({ final }) => (final[0] = 0.01)],
    ['fold', ({ records }) => (records[0].description.federation.asynchronous.exponent = 0)],
    ['fold', ({ final }) => (final[1] = Number.NaN)],
  ]
  for (const [i, [rule, plant]] of planted.entries()) {
    const facts = bufferFacts()
    plant(facts)
    const broken = judgeBuffers(facts)
    t.ok(
      broken.some((line) => line.startsWith(`${rule}: `)),
      `${i}: ${rule} among ${broken}`,
    )
  }
})
