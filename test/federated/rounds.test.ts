/** The reducer of rounds: every event in every phase, and replay. */
import t from 'tap'
import {
  next,
  type Rounds,
  type RoundsEffect,
  type RoundsEvent,
  startRounds,
} from '../../src/federated/protocol/rounds.js'
import { Random } from '../../src/random/random.js'

/** Folds events; gives the last state and the effects of each. */
function fold(events: readonly RoundsEvent[], rounds = 2): { state: Rounds; effects: (readonly RoundsEffect[])[] } {
  let state = startRounds(rounds)
  const effects = events.map((event) => {
    const transition = next(state, event)
    state = transition.state
    return transition.effects
  })
  return { state, effects }
}

const begin = (...clients: string[]): RoundsEvent => ({ type: 'begin', clients })
const answer = (client: string, digest = 'd', round = 1): RoundsEvent => ({ type: 'answer', round, client, digest })
const failure = (client: string, round = 1): RoundsEvent => ({ type: 'failure', round, client, code: 'absent' })
const last = <T>(list: readonly T[]) => list.at(-1)!

t.test('a round closes when everybody has answered or failed', async (t) => {
  const { state, effects } = fold([begin('a', 'b', 'c'), answer('b'), failure('a'), answer('c')])
  t.same(effects[0], [{ type: 'ask', round: 1, clients: ['a', 'b', 'c'] }])
  t.same(effects[1], [{ type: 'add', round: 1, client: 'b' }])
  t.same(effects[2], [])
  t.same(effects[3], [
    { type: 'add', round: 1, client: 'c' },
    { type: 'finish', round: 1, answered: ['b', 'c'], missing: ['a'] },
  ])
  t.equal(state.phase, 'closing')
})

t.test('a deadline closes it too; who comes later is late', async (t) => {
  const { state, effects } = fold([begin('a', 'b'), answer('b'), { type: 'deadline', round: 1 }, answer('a')])
  t.same(effects[2], [{ type: 'finish', round: 1, answered: ['b'], missing: ['a'] }])
  t.same(effects[3], [{ type: 'refuse', round: 1, client: 'a', why: 'late' }])
  t.equal(state.phase, 'closing')
  const after = next(state, { type: 'finished', round: 1 }).state
  t.equal(after.phase, 'idle')
  t.same(next(after, answer('a')).effects, [{ type: 'refuse', round: 1, client: 'a', why: 'late' }])
  const second = next(after, begin('a')).state
  t.equal(second.round, 2)
  t.same(next(second, answer('a')).effects, [{ type: 'refuse', round: 1, client: 'a', why: 'late' }], 'of round 1')
  t.same(
    next(second, answer('a', 'd', 2)).effects.map(({ type }) => type),
    ['add', 'finish'],
  )
})

t.test('an answer counts once: again is acknowledged, another is refused, a stranger’s too', async (t) => {
  const { effects } = fold([
    begin('a', 'b', 'c'),
    answer('a', 'x'),
    answer('a', 'x'),
    answer('a', 'y'),
    answer('z'),
    failure('b'),
    answer('b'),
    failure('a'),
  ])
  t.same(last(effects[2]!), { type: 'acknowledge', round: 1, client: 'a' })
  t.same(last(effects[3]!), { type: 'refuse', round: 1, client: 'a', why: 'contradicts' })
  t.same(last(effects[4]!), { type: 'refuse', round: 1, client: 'z', why: 'unasked' })
  t.same(last(effects[6]!), { type: 'refuse', round: 1, client: 'b', why: 'late' }, 'it had been given up')
  t.same(effects[7], [], 'who has answered does not fail')
})

t.test('names that objects know are names like others', async (t) => {
  const names = ['__proto__', 'constructor', 'toString', 'a']
  const { state, effects } = fold([begin(...names), ...names.slice(0, 3).map((name) => answer(name)), failure('a')])
  t.same(last(last(effects)), { type: 'finish', round: 1, answered: names.slice(0, 3).sort(), missing: ['a'] })
  t.equal(state.phase, 'closing')
})

t.test('a round that nobody is asked in closes at once; after the last the federation is done', async (t) => {
  const { state, effects } = fold([begin(), { type: 'finished', round: 1 }, begin('a'), failure('a', 2)])
  t.same(
    effects[0]!.map(({ type }) => type),
    ['ask', 'finish'],
  )
  t.same(last(last(effects)), { type: 'finish', round: 2, answered: [], missing: ['a'] })
  const done = next(state, { type: 'finished', round: 2 })
  t.same(done.effects, [{ type: 'done' }])
  t.equal(done.state.phase, 'done')
  t.same(next(done.state, begin('a')), { state: done.state, effects: [] }, 'nothing begins any more')
  t.equal(startRounds(3, 3).phase, 'done')
  t.equal(startRounds(3, 2).phase, 'idle')
})

t.test('events out of place change nothing', async (t) => {
  const idle = startRounds(2)
  for (const event of [failure('a'), { type: 'deadline', round: 1 }, { type: 'finished', round: 0 }] as RoundsEvent[]) {
    t.equal(next(idle, event).state, idle, event.type)
  }
  const { state: open } = fold([begin('a', 'b')])
  for (const event of [
    begin('c'),
    failure('a', 2),
    failure('z'),
    { type: 'deadline', round: 2 },
    { type: 'finished', round: 1 },
  ] as RoundsEvent[]) {
    t.same(next(open, event), { state: open, effects: [] }, event.type)
  }
})

t.test('a goal closes a round early; who was asked beyond it and comes later is late', async (t) => {
  const { state, effects } = fold([
    { type: 'begin', clients: ['a', 'b', 'c', 'd'], goal: 2 },
    answer('c'),
    failure('a'),
    answer('d'),
    answer('b'),
  ])
  t.same(effects[2], [], 'a failure is no answer')
  t.same(last(effects[3]!), { type: 'finish', round: 1, answered: ['c', 'd'], missing: ['a', 'b'] })
  t.same(effects[4], [{ type: 'refuse', round: 1, client: 'b', why: 'late' }])
  t.equal(state.phase, 'closing')
  const unmet = fold([{ type: 'begin', clients: ['a', 'b'], goal: 3 }, answer('a'), failure('b')])
  t.equal(last(last(unmet.effects)).type, 'finish', 'nobody is left to wait for')
})

t.test('a round with fewer answers than its minimum is abandoned; the next begins as after any other', async (t) => {
  const asked = { type: 'begin', clients: ['a', 'b', 'c'], minimum: 2 } as const
  const { state, effects } = fold([asked, answer('a'), { type: 'deadline', round: 1 }])
  t.same(last(last(effects)), { type: 'abandon', round: 1, answered: ['a'], missing: ['b', 'c'] })
  t.same(next(next(state, { type: 'finished', round: 1 }).state, asked).effects, [
    { type: 'ask', round: 2, clients: ['a', 'b', 'c'] },
  ])
  const enough = fold([asked, answer('a'), answer('b'), { type: 'deadline', round: 1 }])
  t.equal(last(last(enough.effects)).type, 'finish')
})

t.test('a late answer counts once in a later round that tolerates its age', async (t) => {
  const asked = (clients: string[], tolerance = 1): RoundsEvent => ({ type: 'begin', clients, tolerance })
  const close = (round: number): RoundsEvent[] => [
    { type: 'deadline', round },
    { type: 'finished', round },
  ]
  const first = [asked(['a', 'b', 'c']), answer('a'), ...close(1)]
  const { state } = fold(first, 4)
  t.same(state.owing, { b: 1, c: 1 })
  const second = fold([...first, asked(['a', 'c']), answer('b'), answer('b'), answer('b', 'other'), answer('c')], 4)
  t.same(second.effects[5], [{ type: 'add', round: 1, client: 'b' }])
  t.same(second.effects[6], [{ type: 'acknowledge', round: 1, client: 'b' }])
  t.same(second.effects[7], [{ type: 'refuse', round: 1, client: 'b', why: 'contradicts' }])
  t.same(second.effects[8], [{ type: 'refuse', round: 1, client: 'c', why: 'late' }], 'who is asked anew owes that')
  t.same(second.state.waiting, ['a', 'c'], 'the round still waits for its own')
  const third = fold([...first, asked(['a']), ...close(2), asked(['a']), answer('b')], 4)
  t.same(last(third.effects), [{ type: 'refuse', round: 1, client: 'b', why: 'late' }], 'two rounds are too many')
  const strict = fold([...first, asked(['a'], 0), answer('b')], 4)
  t.same(last(strict.effects), [{ type: 'refuse', round: 1, client: 'b', why: 'late' }])
  t.same(startRounds(4, 1, { b: 1 }).owing, { b: 1 }, 'a federation that goes on knows who owes')
  const resumed = next(next(startRounds(4, 1, { b: 1 }), asked(['a'])).state, answer('b'))
  t.same(resumed.effects, [{ type: 'add', round: 1, client: 'b' }])
})

t.test('replay: any list of events gives one state; each round asks once and finishes once', async (t) => {
  const random = new Random(3, 77)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random.uniform() * list.length)]!
  let finishes = 0
  for (let trial = 0; trial < 300; trial++) {
    const names = ['a', 'b', 'c', 'd'].slice(0, 1 + Math.floor(random.uniform() * 4))
    const events = Array.from({ length: 40 }, () =>
      pick<() => RoundsEvent>([
        () => ({ ...begin(...names), ...pick([{}, { goal: 2 }, { minimum: 2 }, { tolerance: 1 }]) }),
        () => answer(pick(names), pick(['x', 'y']), pick([1, 2, 3])),
        () => failure(pick(names), pick([1, 2, 3])),
        () => ({ type: 'deadline', round: pick([1, 2, 3]) }),
        () => ({ type: 'finished', round: pick([1, 2, 3]) }),
      ])(),
    )
    const journal = JSON.parse(JSON.stringify(events)) as RoundsEvent[]
    const { state, effects } = fold(events, 3)
    t.same(fold(journal, 3), { state, effects })
    const all = effects.flat()
    const added = new Set<string>()
    for (const effect of all) {
      if (effect.type !== 'add') continue
      const key = `${effect.round} ${effect.client}`
      if (added.has(key)) t.fail(`${key} is added twice`)
      added.add(key)
    }
    for (let round = 1; round <= 3; round++) {
      const of = (...types: RoundsEffect['type'][]) =>
        all.filter((e) => types.includes(e.type) && 'round' in e && e.round === round)
      const [finish, ...more] = of('finish', 'abandon')
      if (!(more.length === 0 && of('ask').length <= 1 && (finish === undefined || of('ask').length === 1)))
        t.fail(`round ${round}`)
      finishes += finish === undefined ? 0 : 1
      if (finish?.type === 'finish' && !(finish.answered.length <= of('add').length))
        t.fail('what was added is what answered')
    }
  }
  t.ok(finishes > 300, `${finishes} rounds ended`)
})
