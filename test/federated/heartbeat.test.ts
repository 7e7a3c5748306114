/** Signs of life of a client at work: what they say, how often, and what ends them. */
import t from 'tap'
import type { Reply, Word } from '../../src/federated/link/messages.js'
import { Heartbeat } from '../../src/federated/participant/heartbeat.js'

const taken: Reply = { type: 'taken' }

/** A heart that beats when it is told: `beat` wakes it. */
function heart(replies: (word: Word, nth: number) => Promise<Reply>, random = 0.5) {
  const words: Word[] = []
  const slept: number[] = []
  let wake = () => {}
  const stop = new AbortController()
  const heartbeat = new Heartbeat(
    async (word) => {
      words.push(word)
      return await replies(word, words.length)
    },
    {
      round: 7,
      random: () => random,
      signal: stop.signal,
      time: {
        now: () => 0,
        sleep: (milliseconds, signal) =>
          new Promise((resolve, reject) => {
            if (signal?.aborted) return reject(signal.reason)
            slept.push(milliseconds)
            wake = resolve
            signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
          }),
      },
    },
  )
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  return {
    heartbeat,
    words,
    slept,
    stop,
    beat: async () => {
      wake()
      await settled()
    },
    settled,
  }
}

t.test('how far the work is, every half minute give or take a fifth; none after its end', async (t) => {
  for (const [random, wait] of [
    [0, 24_000],
    [0.5, 30_000],
    [0.75, 33_000],
  ] as const) {
    const { heartbeat, words, slept, beat, settled } = heart(async () => taken, random)
    const done = await heartbeat.during(async (signal) => {
      await settled()
      heartbeat.at(3, 9)
      await beat()
      t.notOk(signal.aborted)
      return 'done'
    })
    t.equal(done, 'done')
    await beat()
    t.same(words, [
      { type: 'working', round: 7, step: 0, steps: 0 },
      { type: 'working', round: 7, step: 3, steps: 9 },
    ])
    t.same(slept.map(Math.round), [wait, wait])
  }
})

t.test('a sign that does not get through ends nothing; a round that needs the work no longer ends it', async (t) => {
  const { heartbeat, words, beat, settled } = heart(async (_, nth) => {
    if (nth === 1) throw new Error('nobody answers')
    return nth < 3 ? taken : { type: 'refused', code: 'E_ROUND_CLOSED', why: 'it is over' }
  })
  const work = heartbeat.during(async (signal) => {
    await settled()
    await beat()
    t.notOk(signal.aborted, 'lost, then taken')
    await beat()
    t.ok(signal.aborted)
    throw signal.reason
  })
  await t.rejects(work, {
    code: 'E_LIMIT',
    message: 'the server needs it no longer (E_ROUND_CLOSED): it is over',
    details: { round: 7, code: 'E_ROUND_CLOSED' },
  })
  t.equal(words.length, 3)
})

t.test(
  'whoever stops the client stops the work; what the work throws is thrown, and no sign comes after it',
  async (t) => {
    const { heartbeat, words, stop, beat, settled } = heart(async () => taken)
    const reason = new Error('enough')
    const work = heartbeat.during(async (signal) => {
      await settled()
      stop.abort(reason)
      t.equal(signal.reason, reason)
      throw new Error('half done')
    })
    await t.rejects(work, { message: 'half done' })
    await beat()
    t.equal(words.length, 1)
  },
)

t.test('work has ended when its last sign has', async (t) => {
  let arrive = (_: Reply) => {}
  const { heartbeat, settled } = heart(() => new Promise((resolve) => (arrive = resolve)))
  let ended = false
  const work = heartbeat.during(async () => 'done').then(() => (ended = true))
  await settled()
  t.notOk(ended, 'a sign is on its way')
  arrive(taken)
  await work
})
