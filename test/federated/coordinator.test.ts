/** A federation between parties: the bits of `simulate`, through a server that knows no model and may be opened again after any record. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../src/federated/coordinator/events.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { Mortal, options } from './support/conformance.js'
import { SmallParticipant, trains } from './support/small-participant.js'

const path = goldenFolder('llama')
const model = await loadModel(path, { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())
const adapter = { rank: 4, alpha: 8, seed: 2 }
const names = ['a', 'b', 'c', 'd']
const rows = await Promise.all(names.map((_, i) => tokenRows(5 + ((i * 3) % 7), 263, 17 * i)))
const federation = {
  rounds: 3,
  cohort: 3,
  seed: 11,
  local: { steps: 2, batchSize: 2, learningRate: 1e-2, schedule: 'cosine' as const },
}

t.test('the adapter of simulate, bit for bit', async (t) => {
  const folder = temporaryFolder('simulated')
  const run = simulate({
    model,
    adapter,
    clients: names.map((name, i) => ({ name, train: rows[i]! })),
    ...federation,
    outputDir: folder,
  })
  const { adapter: expected } = await run
  const served = temporaryFolder('served')
  let now = Date.now() // stands, but for two seconds in every round after the first
  const coordinator = await Coordinator.open({
    now: () => now,
    folder: served,
    journal: new MemoryJournal<Entry>(),
    blobs: new MemoryBlobs(),
    config: {
      model: { path, quantization: 'nf4' },
      adapter,
      data: { format: 'tokens' },
      clients: { minimum: 4 },
      federation,
    },
  })
  const events: CoordinatorEvent[] = []
  coordinator.onEvent((event) => {
    events.push(event)
    if (event.type === 'begin' && event.round > 1) now += 2000
  })
  const participants = [2, 0, 3, 1].map(
    (i) => new SmallParticipant(names[i]!, new InProcessLink(() => coordinator, names[i]!), trains(model, rows[i]!)),
  )
  for (const { name } of participants) {
    const { token } = await coordinator.invite(name, 60)
    t.same(await coordinator.enroll(token, `key of ${name}`), { client: name })
  }
  await Promise.all(
    participants.map(async (one) => {
      await one.open()
      await one.run()
      await one.close()
    }),
  )
  await coordinator.over
  await coordinator.close()
  for (const file of ['adapter_model.safetensors', 'adapter_config.json']) {
    t.ok(readFileSync(join(served, 'adapter', file)).equals(readFileSync(join(folder, 'adapter', file))), file)
  }
  t.equal(
    events.map(({ type }) => type).join(' '),
    `joined joined joined joined ${'begin client client client round '.repeat(3)}done`,
    'what is told',
  )
  const rounds = events.filter((event) => event.type === 'round')
  t.same(
    rounds.map(({ seconds: { aggregate: _, ...rest } }) => rest),
    [0, 2, 2].map((total) => ({ train: 0, encode: 0, total })),
  )
  t.same(
    rounds.map(({ tokensPerSecond }) => tokensPerSecond),
    [0, rounds[1]!.tokens / 2, rounds[2]!.tokens / 2],
  )
  expected.dispose()
})

t.test('a folder is of one federation: what differs is said by its field, and no more', async (t) => {
  const begun = options()
  const given: [Partial<typeof begun>, RegExp][] = [
    [{ federation: { ...begun.federation, rounds: 4 } }, /begun with federation\.rounds = 3, now it is 4;/],
    [{ federation: { ...begun.federation, upload: { codec: 'int4' } } }, /with federation\.upload\.codec = "f32", now/],
    [{ adapter: { ...begun.adapter, alpha: 8 } }, /adapter\.config\.alpha = 4, now it is 8;/],
    [{ data: { format: 'tokens', maxLength: 9 } }, /data\.maxLength = \S+, now it is 9;/],
  ]
  for (const [change, says] of given) {
    const mortal = await new Mortal(begun).open()
    mortal.change({ ...begun, ...change })
    const error = await mortal.reopen().then(
      () => new Error('nothing'),
      (error: Error) => error,
    )
    t.match(error, { code: 'E_CHECKPOINT', message: says })
    t.ok(error.message.length < 250, 'one line')
    mortal.change({ ...begun, clients: { ...begun.clients, minimum: 2 } })
    await t.resolves(mortal.open(), 'canary: who is waited for may change')
    await mortal.close()
  }
})

t.test('a robust rule for which a round is always too small is refused before there is one', async (t) => {
  const opened = (cohort: number | { clients: number }, robust: object) =>
    new Mortal(options({ federation: { ...options().federation, cohort, robust } as never })).open()
  const krum = { rule: 'krum', f: 1 }
  for (const [cohort, robust, says] of [
    [4, krum, /krum: 4 updates are too few for f = 1: expected at least 2f \+ 3 = 5/],
    [{ clients: 4 }, krum, /krum: 4 updates are too few/],
    [{ clients: 1 }, { rule: 'fltrust', root: 'a' }, /a round has 1 at most/],
  ] as const) {
    await t.rejects(opened(cohort, robust), { code: 'E_CONFIG', message: says })
  }
  for (const cohort of [5, { clients: 5 }, 0.5, 1]) await (await opened(cohort, krum)).close()
  await (await opened(2, { rule: 'fltrust', root: 'a' })).close()
})
