/** Federations whose server takes a robust rule in the place of the mean: what is selected, small cohorts, order, concurrency, resume, refusals. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { RoundEvent } from '../../src/federated/events.js'
import { combineVectors } from '../../src/federated/index.js'
import { RobustCollector } from '../../src/federated/server/robust.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { loadModel } from '../../src/model/load.js'
import { Random } from '../../src/random/random.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder } from '../support/train.js'
import { federation, lora, makeClients, timeless, type Variation } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('robust')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

async function run(variation: Variation): Promise<{ vector: Float32Array; rounds: RoundEvent[] }> {
  const running = simulate(await federation(model, { rounds: 3, cohort: 6, absence: 0, ...variation }))
  const rounds: RoundEvent[] = []
  for await (const event of running) if (event.type === 'round') rounds.push(event)
  using adapter = (await running).adapter
  return { vector: adapter.vector(), rounds }
}

const same = (a: { vector: Float32Array }, b: { vector: Float32Array }) => bytesOf(a.vector).equals(bytesOf(b.vector))

const vectorsOf = (seed: number, length: number) => {
  const random = new Random(seed, 84)
  return Float32Array.from({ length }, () => random.normal())
}

t.test('a collector gives what the rule gives, all vectors of a client as one, clients by name', async (t) => {
  const names = ['d', 'a', 'e', 'b', 'c']
  const [A, B] = [names.map((_, k) => vectorsOf(k, 500)), names.map((_, k) => vectorsOf(k + 9, 300))]
  const joined = names.map((_, k) => Float32Array.from([...A[k]!, ...B[k]!]))
  const weights = names.map((_, k) => k + 1)
  const ascending = [1, 3, 4, 0, 2] // a b c d e
  for (const robust of [{ rule: 'krum', f: 1 }, { rule: 'multikrum', f: 0, m: 2 }, { rule: 'geomedian' }] as const) {
    const { rule, ...options } = robust
    const expected = combineVectors(rule, {
      updates: ascending.map((k) => joined[k]!),
      weights: ascending.map((k) => weights[k]!),
      options,
    })
    const collector = new RobustCollector(robust, [root])
    for (const order of [
      [0, 1, 2, 3, 4],
      [4, 2, 0, 1, 3],
    ]) {
      collector.begin()
      for (const k of order) await collector.add(names[k]!, { B: B[k]!, A: A[k]! }, weights[k]!)
      t.equal(collector.lacks(), undefined)
      const got = Float32Array.from([...collector.mean('A')!, ...collector.mean('B')!])
      t.ok(bytesOf(got).equals(bytesOf(expected.value)), `${rule} ${order}`)
      t.same(
        collector.selected,
        expected.selected?.map((place) => names[ascending[place]!]),
      )
      t.equal(collector.mean('C'), null)
    }
    await t.rejects(collector.add('f', { A: A[0]! }, 1), { code: 'E_SHAPE', message: /client f sent.*"A",500/ })
    collector.dispose()
  }
  t.same(readdirSync(root), [], 'its file has no name')
})

t.test('of equal updates the first by name is selected, whoever answered first', async (t) => {
  const collector = new RobustCollector({ rule: 'multikrum', f: 0, m: 2 }, [])
  for (const client of ['d', 'a', 'c', 'b']) await collector.add(client, { adapter: vectorsOf(1, 20) }, 1)
  collector.mean('adapter')
  t.same(collector.selected, ['a', 'b'])
  collector.dispose()
})

t.test('f is as many as those who answered allow, and too few make no step', async (t) => {
  const answers = async (robust: ConstructorParameters<typeof RobustCollector>[0], n: number) => {
    const collector = new RobustCollector(robust, [])
    for (let k = 0; k < n; k++) await collector.add(`${k}`, { adapter: vectorsOf(k, 40) }, 1)
    const lacking = collector.lacks()
    if (lacking === undefined) collector.mean('adapter')
    const { selected } = collector
    collector.dispose()
    return lacking ?? selected?.length
  }
  t.equal(await answers({ rule: 'multikrum' }, 9), 4, 'f = 3, m = 4')
  t.equal(await answers({ rule: 'multikrum', m: 6 }, 9), 6, 'f = 1')
  t.equal(await answers({ rule: 'bulyan' }, 11), 7, 'f = 2, θ = 7')
  t.match(
    await answers({ rule: 'krum' }, 2),
    /rule krum: 2 updates are too few for f = 0: expected at least 2f \+ 3 = 3/,
  )
  t.match(await answers({ rule: 'krum', f: 2 }, 6), /expected at least 2f \+ 3 = 7/)
  t.match(await answers({ rule: 'fltrust', root: 'x' }, 3), /the root, client x, did not answer/)
  t.match(await answers({ rule: 'fltrust', root: '0' }, 1), /nobody but the root answered/)
  t.equal(await answers({ rule: 'median' }, 1), undefined)
})

t.test('every rule runs, says whom it selected, and changes the bits; none changes without an option', async (t) => {
  const plain = await run({})
  t.ok(same(plain, await run({})))
  t.equal(plain.rounds[0]!.selected, undefined)
  const seen = [plain]
  const rules: [Variation['robust'], selected: number | undefined][] = [
    ['krum', 1],
    [{ rule: 'multikrum', f: 1 }, 3],
    ['median', undefined],
    [{ rule: 'trimmedmean', f: 1 }, undefined],
    [{ rule: 'bulyan', f: 0 }, 6],
    ['geomedian', undefined],
    [{ rule: 'normbound', bound: 0.01 }, undefined],
  ]
  for (const [robust, selected] of rules) {
    const got = await run({ robust })
    const name = JSON.stringify(robust)
    t.equal(got.rounds[0]!.selected?.length, selected, name)
    t.ok(
      got.rounds.every(({ cosine, updateNorm }) => cosine === null && updateNorm > 0),
      name,
    )
    if (selected !== 6)
      t.notOk(
        seen.some((other) => same(got, other)),
        `${name} is a run of its own`,
      )
    seen.push(got)
  }
})

t.test('concurrency and a run folder change no bit; a resumed run ends in the same', async (t) => {
  const robust = { rule: 'multikrum', f: 1 } as const
  const variation = { robust, cohort: 5, rounds: 4, absence: 0.15, upload: { codec: 'int8' } } as const
  const reference = await run(variation)
  const wide = await run({ ...variation, concurrency: 4 })
  t.ok(same(wide, reference))
  t.same(timeless(wide.rounds), timeless(reference.rounds))
  const outputDir = join(root, 'resumed')
  const running = simulate(await federation(model, { ...variation, outputDir }))
  for await (const event of running) if (event.type === 'checkpoint' && event.round === 2) break
  ;(await running).adapter.dispose()
  const resumed = await run({ ...variation, resumeFrom: outputDir })
  t.ok(same(resumed, reference))
  await t.rejects(run({ ...variation, robust: 'median', resumeFrom: outputDir }), {
    code: 'E_CHECKPOINT',
    message: /federation\.robust/,
  })
})

t.test('a round whose answers are too few is abandoned: the state stays, the federation goes on', async (t) => {
  const { rounds, vector } = await run({ robust: { rule: 'krum', f: 1 }, cohort: 6, absence: 0.4, rounds: 6 })
  const abandoned = rounds.filter(({ abandoned }) => abandoned !== undefined)
  t.ok(abandoned.length > 0 && abandoned.length < 6, `${abandoned.length} of 6`)
  for (const { clients, selected, updateNorm } of abandoned) {
    t.ok(clients.length < 5)
    t.equal(selected, undefined)
    t.equal(updateNorm, 0)
  }
  for (const { clients, abandoned } of rounds) t.equal(abandoned === undefined, clients.length >= 5)
  t.match(abandoned[0]!.abandoned, /rule krum: \d updates are too few for f = 1: expected at least 2f \+ 3 = 5/)
  t.ok(vector.every(Number.isFinite))
})

t.test('fltrust: the update of a named client is the root', async (t) => {
  const { rounds } = await run({ robust: { rule: 'fltrust', root: 'client-2' } })
  for (const { selected } of rounds) t.notOk(selected!.includes(2), 'the root is not averaged')
})

t.test('what is refused, before anything runs', async (t) => {
  const table: [Variation, RegExp][] = [
    [{ robust: 'crum' as never }, /robust/],
    [{ robust: 'normbound' as never }, /robust/],
    [{ robust: { rule: 'krum', f: -1 } }, /robust/],
    [{ robust: { rule: 'krum', g: 1 } as never }, /robust/],
    [{ robust: { rule: 'normbound', bound: 0 } }, /robust/],
    [{ robust: { rule: 'median', f: 1 } as never }, /robust/],
    [{ robust: { rule: 'krum', f: 2 } }, /robust: rule krum: 6 updates are too few for f = 2.*a round has 6 at most/],
    [
      { robust: { rule: 'krum', f: 1 }, cohort: 1, absence: 0, asynchronous: { buffer: 4, concurrency: 5 } },
      /4 updates are too few for f = 1.*a round has 4 at most/,
    ],
    [{ robust: 'krum', cohort: 2 }, /2 updates are too few for f = 0.*a round has 2 at most/],
    [{ robust: { rule: 'multikrum', f: 1, m: 4 } }, /at most n − f − 2 = 3/],
    [{ robust: { rule: 'fltrust', root: 'nobody' } }, /robust\.root: got 'nobody', expected the name of a client/],
    [{ robust: 'median', algorithm: 'scaffold' }, /robust excludes an algorithm.*here scaffold/],
    [{ robust: 'median', algorithm: 'fednova' }, /robust excludes an algorithm.*here fednova/],
    [{ robust: 'median', algorithm: 'flexlora' }, /robust excludes an algorithm.*here flexlora/],
  ]
  for (const [variation, message] of table) {
    const start = async () => await run({ ...variation, upload: { codec: 'f32' }, serverOptimizer: 'none' })
    await t.rejects(start(), { code: 'E_CONFIG', message }, JSON.stringify(variation))
  }
})

t.test('algorithms that average updates, and the server’s optimiser, go with it', async (t) => {
  const clients = await makeClients(4)
  const of = async (variation: Variation) => {
    const running = simulate({
      model,
      adapter: lora,
      clients,
      rounds: 2,
      local: { steps: 1, batchSize: 2, learningRate: 1e-2 },
      ...variation,
    })
    using adapter = (await running).adapter
    return adapter.vector()
  }
  for (const algorithm of ['fedprox', 'ffa', 'fedsa', 'feddyn', 'ditto', 'fedsb', 'fedem'] as const) {
    const [mean, robust] = [await of({ algorithm }), await of({ algorithm, robust: 'median' })]
    t.ok(robust.every(Number.isFinite) && !bytesOf(robust).equals(bytesOf(mean)), algorithm)
  }
  const adam = await of({ serverOptimizer: 'adam', robust: 'krum' })
  t.notOk(bytesOf(adam).equals(bytesOf(await of({ serverOptimizer: 'adam' }))))
})
