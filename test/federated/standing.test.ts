/** How a federation stands, of records of its journal and what is known beside them: who is at what, what is waited for, in words. */
import t from 'tap'
import type { Output } from '../../src/cli/output.js'
import { standingLines } from '../../src/cli/serve/standing.js'
import { serveTeller } from '../../src/cli/serve/tell.js'
import { apply } from '../../src/federated/coordinator/apply.js'
import { coordinatorSchema } from '../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { type Life, standingOf } from '../../src/federated/coordinator/standing.js'
import { emptyState } from '../../src/federated/coordinator/state.js'
import type { RoundEvent } from '../../src/federated/events.js'
import type { Problem } from '../../src/federated/link/standing.js'

const config = coordinatorSchema.parse({
  name: 'cardiology',
  model: { path: 'model' },
  data: { format: 'tokens' },
  clients: { minimum: 2 },
  federation: { rounds: 3, local: { steps: 1 } },
})
const hash = (digit: string) => digit.repeat(64)
const blob = { blob: hash('0'), bytes: 0 }
const description = {
  protocol: 1 as const,
  run: 'ab'.repeat(16),
  name: 'cardiology',
  federation: { rounds: 3 },
  model: { name: 'm', config: '', weights: '', options: {} },
  adapter: { config: {}, targets: [], length: 0 },
  data: {},
  initial: blob,
}
const invited = (client: string, digit: string): Entry => ({
  type: 'invited',
  at: 0,
  client,
  token: hash(digit),
  expires: 1e6,
})
const enrolled = (client: string, digit: string): Entry => ({
  type: 'enrolled',
  at: 1,
  client,
  token: hash(digit),
  key: client,
})
const begin: Entry = {
  type: 'begin',
  at: 2,
  round: 1,
  clients: ['a', 'b', 'c', 'd'],
  goal: null,
  minimum: 2,
  deadline: 9000,
}

function stands(
  records: readonly Entry[],
  lives: Record<string, Life> = {},
  now = 1000,
  federation = {},
  problems: readonly Problem[] = [],
) {
  const state = emptyState()
  const about = { ...description, federation: { ...description.federation, ...federation } }
  apply(state, { type: 'run', at: 0, description: about, rules: {} })
  for (const record of records) apply(state, record)
  return standingOf(state, config, { lives: new Map(Object.entries(lives)), problems, now })
}

const joined = ['a', 'b', 'c', 'd'].flatMap((name, i) => [invited(name, `${i + 1}`), enrolled(name, `${i + 1}`)])
const statesOf = ({ clients }: ReturnType<typeof stands>) => clients.map(({ name, state }) => `${name} ${state}`)

t.test('before the first round: who is missing', async (t) => {
  const none = stands([])
  t.match(none, {
    state: 'waiting',
    waitsFor: '2 more clients; 0 of 2 have joined',
    round: 0,
    rounds: 3,
    deadline: null,
  })
  const one = stands([invited('b', '2'), invited('a', '1'), enrolled('b', '2')])
  t.equal(one.waitsFor, '1 more client; 1 of 2 have joined')
  t.same(statesOf(one), ['a invited', 'b idle'], 'in ascending order')
  t.same(statesOf(stands([invited('a', '1')], {}, 2e6)), [], 'a token that has ended is nobody')
  t.equal(stands([...joined, { type: 'pause', at: 2, who: 'x' }]).state, 'paused')
})

t.test('in a round: asked, working, silent, declined, failed; and who was shut out', async (t) => {
  const work = { round: 1, step: 3, steps: 9 }
  const lives = { a: { seen: 900, work }, b: { seen: 900, work: { ...work, round: 7 } } }
  const declined: Entry = { type: 'declined', at: 3, round: 1, client: 'c', code: 'E_LIMIT', why: 'too much' }
  const failed: Entry = { type: 'failed', at: 3, round: 1, client: 'd', code: 'E_MEMORY', why: 'too large' }
  const now = stands([...joined, begin, declined, failed], lives)
  t.same(statesOf(now), ['a working', 'b asked', 'c declined', 'd failed'])
  t.match(now.clients[0], { step: 3, steps: 9, seen: 900 })
  t.match(now.clients[2], { why: 'too much', seen: null })
  t.match(now, {
    state: 'running',
    waitsFor: 'round 1: 0 of 4 have answered; waits for a, b',
    deadline: 9000,
  })
  const late = stands([...joined, begin], lives, 900 + 108_001)
  t.equal(statesOf(late)[0], 'a silent', 'three signs of life are missing')
  t.equal(statesOf(stands([...joined, begin], lives, 900 + 108_000))[0], 'a working')
  const shut = stands([...joined, begin, { type: 'revoked', at: 3, client: 'a' }], lives)
  t.equal(statesOf(shut)[0], 'a revoked')
})

t.test('rounds that have ended, and a federation that was stopped', async (t) => {
  const report = { round: 1, loss: 2.5, bytesUp: 5, bytesDown: 6, privacy: { epsilon: 0.5, delta: 1e-5, budget: 2 } }
  const checkpoint = { vectors: {}, numbers: {} }
  const abandon: Entry = { type: 'abandon', at: 5002, round: 1, why: 'few', checkpoint, report, log: 0 }
  const deadline: Entry = { type: 'deadline', at: 5000, round: 1 }
  const ended = [...joined, begin, deadline, abandon]
  t.match(stands(ended), {
    round: 1,
    bytesUp: 5,
    bytesDown: 6,
    history: [{ round: 1, loss: 2.5, asked: 4, counted: 0, seconds: 5, abandoned: 'few', epsilon: 0.5 }],
    privacy: { epsilon: 0.5, delta: 1e-5, budget: 2 },
  })
  const stopped = stands([...ended, { type: 'stop', at: 6000, who: 'x', why: 'enough' }])
  t.match(stopped, { state: 'finished', waitsFor: 'enough' })
})

t.test(
  'a long federation: the last thousand rounds and hundred problems are shown, bytes are those of all',
  async (t) => {
    const checkpoint = { vectors: {}, numbers: {} }
    const rounds = Array.from({ length: 1002 }, (_, i) => i + 1).flatMap((round): Entry[] => {
      const report = { round, loss: null, bytesUp: 5, bytesDown: 7 }
      return [
        { ...begin, round },
        { type: 'abandon', at: 3, round, why: 'few', checkpoint, report, log: 0 },
      ]
    })
    const problems = Array.from({ length: 103 }, (_, i): Problem => ({ at: i, code: 'E_FORMAT', words: `${i}` }))
    const standing = stands([...joined, ...rounds], {}, 1000, { rounds: 2000 }, problems)
    t.same([standing.round, standing.bytesUp, standing.bytesDown], [1002, 5010, 7014])
    t.same([standing.history.length, standing.history[0]!.round, standing.history.at(-1)!.round], [1000, 3, 1002])
    t.same([standing.problems.length, standing.problems[0]!.at, standing.problems.at(-1)!.at], [100, 3, 102])
  },
)

t.test('without rounds: the buffer, who is at work on what, and how stale the answers were', async (t) => {
  const federation = { rounds: 3, asynchronous: { buffer: 2, concurrency: 3 } }
  const offer = {
    version: 1,
    rounds: 3,
    algorithm: 'fedavg',
    learningRate: 1,
    seed: 0,
    vectors: {},
    numbers: {},
  } as const
  const start = (at: number, round: number, ...clients: string[]): Entry => {
    return { type: 'start', at, round, deadline: at + 100, work: [{ clients, offer: { ...offer, round } }] }
  }
  const accepted = (client: string, round: number, staleness: number): Entry => {
    const answer = { version: 1 as const, round, client, rows: 1, steps: 1, tokens: 1, loss: 1, numbers: {} }
    const manifest = { run: description.run, answer, vectors: {}, blob: null }
    return { type: 'accepted', at: 3, round, client, digest: hash('0'), manifest, staleness }
  }
  const now = (records: readonly Entry[], lives: Record<string, Life> = {}) =>
    stands([...joined, ...records], lives, 1000, federation)
  const begun = [start(2, 1, 'a', 'b', 'c'), accepted('b', 1, 0), start(3, 1, 'd')]
  const work = { round: 1, step: 3, steps: 9 }
  const open = now(begun, { a: { seen: 900, work }, d: { seen: 900, work: { ...work, round: 7 } } })
  t.match(open, {
    state: 'running',
    waitsFor: 'step 1 of 3: 1 of 2 answers in the buffer; at work: a, c, d',
    round: 0,
    rounds: 3,
    deadline: null,
    buffer: { answers: 1, size: 2, atWork: 3, concurrency: 3 },
  })
  t.same(statesOf(open), ['a working', 'b answered', 'c asked', 'd asked'])
  t.match(open.clients[0], { step: 3, steps: 9 })
  const full = [...begun, accepted('c', 1, 0)]
  t.match(now(full), { state: 'running', waitsFor: 'step 1 of 3: adds up what has come' })
  const report = { round: 1, loss: 2, bytesUp: 5, bytesDown: 6, clients: [{ staleness: 1 }, { staleness: 0 }] }
  const checkpoint = { vectors: {}, numbers: {} }
  const commit: Entry = { type: 'commit', at: 5002, round: 1, counted: ['b', 'c'], checkpoint, report, log: 0 }
  const failed: Entry = { type: 'failed', at: 5003, round: 1, client: 'd', code: 'E_MEMORY', why: 'too large' }
  const next = now([...full, commit, failed])
  t.match(next, {
    waitsFor: 'step 2 of 3: 0 of 2 answers in the buffer; at work: a',
    round: 1,
    history: [{ round: 1, asked: 4, counted: 2, refused: 0, seconds: 5, stalenesses: [0, 1] }],
    buffer: { answers: 0, atWork: 1 },
  })
  t.same(statesOf(next), ['a asked', 'b idle', 'c idle', 'd failed'])
  t.match(next.clients[3], { why: 'too large' })
  t.same(statesOf(now([...full, commit, failed, start(6000, 2, 'd')]))[3], 'd asked', 'it is at work again')
  const alone = now([
    ...full,
    commit,
    failed,
    { type: 'revoked', at: 6000, client: 'a' },
    { type: 'pause', at: 7000, who: 'x' },
  ])
  t.match(alone, { state: 'paused', waitsFor: 'the operator lets it go on' })
  const lines = standingLines(next, true)
  t.match(lines, [/at work: a$/, /^1 of 3 steps/, 'answers of the last step: 0, 1 steps behind'])
})

t.test('what people are told of buffers while a server runs', async (t) => {
  const told: string[] = []
  const output = { text: (line: string) => told.push(line), progressShown: false } as unknown as Output
  const tell = serveTeller(output, () => '', 'step')
  tell({ type: 'begin', round: 2, rounds: 3, clients: ['a', 'b'], deadline: null })
  const report = { client: 0, name: 'a', rows: 3, loss: 1.5, steps: 2, tokens: 9, bytesUp: 10 }
  tell({ type: 'client', round: 1, ...report, staleness: 1, buffer: { answers: 1, size: 2 } })
  const round = {
    type: 'round',
    round: 2,
    rounds: 3,
    loss: 1.5,
    bytesUp: 1,
    bytesDown: 1,
    compressionRatio: 1,
    seconds: { total: 1 },
  }
  tell({
    ...round,
    clients: [
      { ...report, staleness: 1 },
      { ...report, name: 'b', staleness: 3 },
    ],
  } as unknown as RoundEvent)
  tell({ ...round, clients: [], abandoned: 'few' } as unknown as RoundEvent)
  t.match(told, [
    'step 2/3: asks a, b',
    /^ {2}a: loss 1\.5000 .* · 1 behind · 1 of 2 in the buffer$/,
    /^step 2\/3: loss 1\.5000 · 2 counted, at most 3 behind/,
    'step 2/3 was abandoned: few',
  ])
})
