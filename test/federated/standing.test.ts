/** How a federation stands, of records of its journal and what is known beside them: who is at what, what is waited for, in words. */
import t from 'tap'
import { coordinatorSchema } from '../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { type Life, standingOf } from '../../src/federated/coordinator/standing.js'
import { apply, emptyState } from '../../src/federated/coordinator/state.js'

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

function stands(records: readonly Entry[], lives: Record<string, Life> = {}, now = 1000) {
  const state = emptyState()
  apply(state, { type: 'run', at: 0, description, rules: {} })
  for (const record of records) apply(state, record)
  return standingOf(state, config, { lives: new Map(Object.entries(lives)), problems: [], now })
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
