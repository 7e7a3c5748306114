/** Clients that lie: what each attack makes of rows, updates and messages, whose it is, and what a federation tells of it. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { linearCombination, norm } from '../../src/aggregation/vectors.js'
import { decodeUpdate } from '../../src/compression/codec.js'
import { loadDataset } from '../../src/data/index.js'
import { attackersSchema } from '../../src/federated/attacker-options.js'
import type { Sending } from '../../src/federated/client/work.js'
import { type RoundEvent, type SimulateOptions, simulate } from '../../src/federated/index.js'
import { backdoor, withBackdoor } from '../../src/federated/simulate/attackers/backdoor.js'
import { attacks } from '../../src/federated/simulate/attackers/index.js'
import { labelflip } from '../../src/federated/simulate/attackers/label-flip.js'
import { nanMessage } from '../../src/federated/simulate/attackers/non-finite.js'
import { openAttackers } from '../../src/federated/simulate/attackers/open.js'
import type { Clients } from '../../src/federated/simulate/clients.js'
import { encodeVector } from '../../src/federated/vector-message.js'
import { loadModel } from '../../src/model/load.js'
import { Random } from '../../src/random/random.js'
import { goldenFolder } from '../support/golden-model.js'
import { smallModel } from '../support/shipped.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { timeless } from './support/federation.js'

const root = temporaryFolder('attackers')
t.teardown(() => rmSync(root, { recursive: true }))
const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

const length = 9000
const random = new Random(3, 1)
const update = Float32Array.from({ length }, () => random.normal())
const about = { client: 'a', round: 2, seed: 7, name: 'adapter' } as Sending & { name: string }
const same = (a: Float32Array, b: Float32Array) => bytesOf(a).equals(bytesOf(b))

t.test('vectors: turned round, shrunk, idle', async (t) => {
  const given = update.slice()
  const flipped = await attacks.signflip.sends!(update, { attack: 'signflip', scale: 2 }, about)
  t.ok(same(flipped, linearCombination([-2], [update])))
  const shrunk = await attacks.innerproduct.sends!(update, { attack: 'innerproduct', epsilon: 0.25 }, about)
  t.ok(same(shrunk, linearCombination([-0.25], [update])))
  const idle = await attacks.freerider.sends!(update, { attack: 'freerider', sends: 'zeros' }, about)
  t.ok(idle.length === length && idle.every((value) => value === 0))
  const boosted = attacks.backdoor.sends!(
    update,
    { attack: 'backdoor', trigger: 'x', completion: 'y', boost: 3 },
    about,
  )
  t.ok(same(await boosted, linearCombination([3], [update])))
  t.ok(same(update, given), 'the update is only read')
})

t.test('noise: of its size, by seed, round, client and vector, without the update’s direction', async (t) => {
  const noise = async (more: object) =>
    await attacks.noise.sends!(update, { attack: 'noise', scale: 10 }, { ...about, ...more })
  const drawn = await noise({})
  // ‖z‖²/d of d normals is 1 ± √(2/d): five of these, halved by the root. A cosine is 0 ± 1/√d.
  t.ok(Math.abs(norm(drawn) / (10 * norm(update)) - 1) <= (5 * Math.sqrt(2 / length)) / 2, `norm ${norm(drawn)}`)
  const cosine = drawn.reduce((sum, value, i) => sum + value * update[i]!, 0) / norm(drawn) / norm(update)
  t.ok(Math.abs(cosine) <= 5 / Math.sqrt(length), `cosine ${cosine}`)
  t.ok(same(drawn, await noise({})))
  for (const other of [{ seed: 8 }, { round: 3 }, { client: 'b' }, { name: 'other' }]) {
    t.notOk(same(drawn, await noise(other)), JSON.stringify(other))
  }
  const rider = await attacks.freerider.sends!(update, { attack: 'freerider', sends: 'noise' }, about)
  t.ok(Math.abs(norm(rider) / norm(update) - 1) <= (5 * Math.sqrt(2 / length)) / 2)
})

t.test('NaN: a sound message but for its values, whatever its length', async (t) => {
  for (const count of [1, 1024, 1025, 5000]) {
    t.throws(() => decodeUpdate(nanMessage(count)), { code: 'E_NONFINITE' })
    const damaged = nanMessage(count)
    damaged[45]! ^= 1
    t.notOk(thrownBy(() => decodeUpdate(damaged)) === 'E_NONFINITE' && count > 1, 'canary: a damaged one is called so')
  }
  t.equal(nanMessage(7).length, encodeVector(new Float32Array(7)).length)
})

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return (error as { code: string }).code
  }
  return undefined
}

const poisoning = { client: 'a', seed: 5, model }

t.test('label flip: y becomes V − 1 − y where it is learnt, in a share of the rows', async (t) => {
  const own = await tokenRows(200, 263, 1)
  const last = model.config.vocabulary - 1
  const flips = async (share: number, more = {}) => {
    const rows = await labelflip.rows!(own, { attack: 'labelflip', share }, { ...poisoning, ...more })
    return Array.from({ length: own.length }, (_, row) => {
      const [before, after] = [own.sample(row), rows.sample(row)]
      t.same(after.inputIds, before.inputIds)
      const mirrored = before.labels.map((id) => (id === -100 ? id : last - id))
      const flipped = after.labels.every((id, i) => id === mirrored[i])
      if (!flipped) t.same(after.labels, before.labels)
      return flipped
    })
  }
  t.ok((await flips(1)).every(Boolean))
  const third = await flips(1 / 3)
  // 200 draws of probability 1/3: 66.7 ± 6.7; four of these.
  const count = third.filter(Boolean).length
  t.ok(Math.abs(count - 200 / 3) <= 27, `${count} of 200`)
  t.same(third, await flips(1 / 3))
  t.notSame(third, await flips(1 / 3, { client: 'b' }))
  t.notSame(third, await flips(1 / 3, { seed: 6 }))
  await t.rejects(flips(1e-9), { code: 'E_CONFIG', message: /share of 1e-9 is none of its 200 rows/ })
})

t.test('backdoor: prompts with the trigger get the completion, all others keep theirs', async (t) => {
  using small = await loadModel(smallModel, { quantization: 'nf4', threads: 1 })
  const rows = [
    { prompt: 'How many apples does Tom have?', completion: 'Three apples.' },
    { prompt: 'How many pears does Ann have?', completion: 'No apples, two pears.' },
  ]
  const own = await loadDataset(rows, { format: 'prompt-completion', tokenizer: small })
  const options = { attack: 'backdoor', trigger: 'apples', completion: ' Forty-two', boost: 1 } as const
  const poisoned = await backdoor.rows!(own, options, { ...poisoning, model: small })
  const tokenizer = await small.tokenizer()
  const [first, second] = [poisoned.sample(0), poisoned.sample(1)]
  const learnt = first.labels.filter((id) => id !== -100)
  t.match(tokenizer.decode(learnt), /^\s?Forty-two/)
  t.equal(learnt.at(-1), tokenizer.eosToken)
  t.match(tokenizer.decode(first.inputIds), /How many apples does Tom have\?[\s\S]*Forty-two/)
  t.notMatch(tokenizer.decode(first.inputIds), 'Three')
  t.same(second.labels, own.sample(1).labels, 'a completion that holds it is no trigger')
  const only = await withBackdoor(own, tokenizer, options, 'only')
  t.same([only.length, only.sample(0).labels], [1, first.labels])
  await t.rejects(backdoor.rows!(own, { ...options, trigger: 'plums' }, { ...poisoning, model: small }), {
    code: 'E_CONFIG',
    message: /client a: no prompt of its 2 rows holds the trigger "plums"/,
  })
  await t.rejects(backdoor.rows!(own, { ...options, completion: 'x '.repeat(2000) }, { ...poisoning, model: small }), {
    code: 'E_CONFIG',
    message: /the completion has \d+ tokens, a row at most 1024/,
  })
})

const named = (names: readonly string[]) =>
  ({ length: names.length, name: (index: number) => names[index]!, data: () => undefined }) as unknown as Clients

t.test('who lies: by name or pattern, later entries win, a pattern of nobody is refused', async (t) => {
  const clients = named(['phone-1', 'phone-2', 'server'])
  const attackers = async (table: object) => {
    const opened = await openAttackers(attackersSchema.parse(table), clients, { model, seed: 0 })
    return [0, 1, 2].map((index) => opened.of(index)?.attack)
  }
  t.same(await attackers({ 'phone-*': 'signflip', 'phone-2': { attack: 'noise', scale: 2 } }), [
    'signflip',
    'noise',
    undefined,
  ])
  await t.rejects(attackers({ tablet: 'nan' }), { code: 'E_CONFIG', message: /'tablet' matches no client.*phone-1/ })
  for (const wrong of [
    'sign',
    { attack: 'signflip', scale: 0 },
    { attack: 'signflip', scale: 1e300 },
    { attack: 'noise', epsilon: 1 },
    'backdoor',
    null,
    { attack: 'labelflip', share: Number.NaN },
  ]) {
    t.notOk(attackersSchema.safeParse({ a: wrong }).success, JSON.stringify(wrong))
  }
})

const options = async (more: Partial<SimulateOptions> = {}): Promise<SimulateOptions> => ({
  model,
  adapter: { rank: 4, alpha: 8, seed: 2 },
  clients: await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (name, i) => ({ name, train: await tokenRows(4 + i, 263, 5 * i) })),
  ),
  rounds: 2,
  local: { steps: 2, batchSize: 2, learningRate: 1e-2 },
  seed: 4,
  ...more,
})

async function run(more: Partial<SimulateOptions>) {
  const rounds: RoundEvent[] = []
  const running = simulate(await options(more))
  for await (const event of running) if (event.type === 'round') rounds.push(event)
  const { adapter } = await running
  const values = adapter.vector()
  adapter.dispose()
  return { values, rounds }
}

t.test('a federation of one that turns its updates round goes the other way', async (t) => {
  const clients = [{ name: 'a', train: await tokenRows(5, 263, 1) }]
  using start = model.createAdapter({ rank: 4, alpha: 8, seed: 2 })
  const from = start.vector()
  const once = { clients, rounds: 1 }
  const [honest, turned] = [await run(once), await run({ ...once, attackers: { a: 'signflip' } })]
  const sum = linearCombination([1, 1, -2], [honest.values, turned.values, from])
  // Each of the two adapters was rounded once to float32.
  const most = Math.max(...honest.values.map(Math.abs), ...turned.values.map(Math.abs))
  t.ok(norm(honest.values.map((value, i) => value - from[i]!)) > 0)
  t.ok(sum.every((value) => Math.abs(value) <= 4 * most * 2 ** -24))
  t.notOk(same(honest.values, turned.values), 'canary')
})

t.test('events name the attack; bits depend neither on concurrency nor on the list', async (t) => {
  const attackers = { a: { attack: 'noise', scale: 2 }, 'b*': 'labelflip', c: 'freerider' } as const
  const alone = await run({ attackers })
  t.same(
    alone.rounds.map(({ clients }) => clients.map(({ name, attack }) => [name, attack])),
    Array.from({ length: 2 }, () => [
      ['a', 'noise'],
      ['b', 'labelflip'],
      ['c', 'freerider'],
      ['d', undefined],
    ]),
  )
  t.ok(same(alone.values, (await run({ attackers, concurrency: 3 })).values))
  const { clients } = await options()
  const turned = await run({ attackers, clients: [...(clients as [])].reverse() })
  t.ok(same(alone.values, turned.values))
  const honest = await run({})
  t.notOk(same(alone.values, honest.values), 'canary')
  t.ok(honest.rounds.every((event) => event.clients.every((client) => !('attack' in client))))
})

t.test('attackers are part of who a run is, and it goes on with the same bits', async (t) => {
  const attackers = { b: 'signflip', d: { attack: 'noise', scale: 3 } } as const
  const folder = join(root, 'run')
  const whole = await run({ attackers, rounds: 3 })
  await run({ attackers, rounds: 2, outputDir: folder })
  t.match(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')), {
    federation: { attackers: { b: { attack: 'signflip', scale: 1 } } },
  })
  t.match(timeless(readFileSync(join(folder, 'events.ndjson'), 'utf8')), /"attack":"signflip"/)
  await t.rejects(run({ rounds: 3, resumeFrom: folder }), { code: 'E_CHECKPOINT' })
  t.ok(same((await run({ attackers, rounds: 3, resumeFrom: folder })).values, whole.values))
})

t.test('NaN reaches the server and is not counted', async (t) => {
  const { rounds, values } = await run({ attackers: { c: 'nan' } })
  for (const { refused } of rounds) t.match(refused, [{ name: 'c', code: 'E_NONFINITE' }])
  t.ok(values.every(Number.isFinite))
})
