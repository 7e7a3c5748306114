/** What a client refuses, and before what: another base, other options, work beyond its limits, answers that nobody approved. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { FedloraError } from '../../src/errors.js'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../src/federated/coordinator/events.js'
import type { CoordinatorOptions } from '../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import type { Description, Notice } from '../../src/federated/link/messages.js'
import { Account } from '../../src/federated/participant/account.js'
import type { ParticipantEvent } from '../../src/federated/participant/events.js'
import { type ParticipantOptions, takePart } from '../../src/federated/participant/join.js'
import { checkLimits } from '../../src/federated/participant/limits.js'
import { loadModel } from '../../src/model/load.js'
import { identifyTokenizer } from '../../src/model/tokenizer-identity.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'

const path = goldenFolder('llama')
const model = await loadModel(path, { quantization: 'nf4', threads: 1 })
const rows = await tokenRows(6, 263, 3)
const root = temporaryFolder('client-limits')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})
let folders = 0
const newFolder = () => join(root, `client-${folders++}`)

/** A federation of one client, and what became of it. `change`: what a server that lies makes of its description, or of its notices. */
async function alone(
  options: Partial<ParticipantOptions> = {},
  {
    rounds = 2,
    description,
    notice,
    federation = {},
    config = {},
  }: {
    rounds?: number
    description?: (given: Description) => unknown
    notice?: (given: Notice) => unknown
    federation?: object
    config?: Partial<CoordinatorOptions>
  } = {},
) {
  const coordinator = await Coordinator.open({
    journal: new MemoryJournal<Entry>(),
    blobs: new MemoryBlobs(),
    config: {
      model: { path, quantization: 'nf4' },
      adapter: { rank: 4, alpha: 8, seed: 2 },
      data: { format: 'tokens', maxLength: 64 },
      clients: { minimumAnswers: 0 },
      federation: { rounds, local: { steps: 2, batchSize: 2, learningRate: 1e-2 }, ...federation },
      ...config,
    },
  })
  const told: CoordinatorEvent[] = []
  coordinator.onEvent((event) => told.push(event))
  await coordinator.enroll((await coordinator.invite('a', 60)).token, 'key of a')
  const link = new InProcessLink(() => coordinator, 'a')
  const lying = Object.assign(Object.create(link) as InProcessLink, {
    describe: async (signal: AbortSignal) => {
      const given = await link.describe(signal)
      return description?.(given) ?? given
    },
    next: async (...args: Parameters<InProcessLink['next']>) => {
      const given = await link.next(...args)
      return given && (notice?.(given) ?? given)
    },
    say: link.say.bind(link),
    download: link.download.bind(link),
    upload: link.upload.bind(link),
    close: async () => {},
  })
  const events: ParticipantEvent[] = []
  const folder = options.folder ?? newFolder()
  const run = takePart(async () => ({ link: lying, client: 'a' }), { model, data: rows, ...options, folder })
  let error: FedloraError | undefined
  try {
    for await (const event of run) events.push(event)
  } catch (thrown) {
    error = thrown as FedloraError
  }
  await coordinator.close()
  return { events, error, told, folder }
}

const declined = (events: readonly ParticipantEvent[]) => events.filter((event) => event.type === 'declined')

t.test('each limit declines what is beyond it, before any step, and says so to both sides', async (t) => {
  const cases: [Partial<ParticipantOptions>, RegExp][] = [
    [{ limits: { steps: 1 } }, /2 steps, and limits\.steps allows 1 steps/],
    [{ limits: { memory: 1000 } }, /memory, and limits\.memory allows 1,?000 B/],
    [{ limits: { epsilon: 8 } }, /nothing is private.*limits\.epsilon/],
  ]
  for (const [options, message] of cases) {
    const { events, error, told } = await alone(options)
    t.equal(error, undefined)
    t.match(declined(events), [
      { round: 1, code: 'E_LIMIT', why: message },
      { round: 2, why: message },
    ])
    t.notOk(
      events.some(({ type }) => type === 'step'),
      'no step was taken',
    )
    t.match(
      told.filter(({ type }) => type === 'declined'),
      [{ name: 'a', round: 1, code: 'E_LIMIT', message }, { round: 2 }],
    )
    t.equal(events.at(-1)!.type, 'over', 'it takes part until the end')
  }
  const generous = { limits: { steps: 2, memory: '1 GiB', seconds: 600, bytesUp: '1 MiB' } }
  const { events } = await alone(generous)
  t.same(declined(events), [], 'canary: what is within is done')
  t.equal(events.filter((event) => event.type === 'outcome' && event.counted).length, 2)
})

t.test('an answer beyond bytesUp stays here, and nothing of its round is kept', async (t) => {
  const { events, told, folder } = await alone(
    { limits: { bytesUp: 100 } },
    { federation: { upload: { codec: 'topk', density: 0.25, bits: 8 } } },
  )
  t.match(declined(events), [
    { round: 1, code: 'E_LIMIT', why: /to be sent, and limits\.bytesUp allows 100 B/ },
    { round: 2 },
  ])
  t.notOk(told.some(({ type }) => type === 'client'))
  t.same([readdirSync(join(folder, 'own')), readdirSync(join(folder, 'outbox'))], [[], []])
})

t.test('approve sees exactly what is sent, and anything but true keeps it here', async (t) => {
  const seen: Parameters<NonNullable<ParticipantOptions['approve']>>[0][] = []
  const files: Buffer[] = []
  const { events } = await alone({
    approve: async (outgoing) => {
      seen.push(outgoing)
      files.push(readFileSync(outgoing.file!))
      return outgoing.round === 1
    },
  })
  t.equal(seen.length, 2)
  const [first] = seen
  t.match(first, { round: 1, codec: 'f32', masked: false, rows: 6, steps: 2, vectors: [{ name: 'adapter' }] })
  t.equal(files[0]!.length, first!.bytes)
  t.ok(first!.norm > 0 && first!.vectors[0]!.length * 4 < first!.bytes)
  const [sent] = events.filter((event) => event.type === 'sent')
  const { file: _, ...shown } = first!
  t.same(sent, { type: 'sent', ...shown })
  t.match(declined(events), [{ round: 2, why: /not approved/ }])
  for (const odd of [undefined, 1, 'yes', {}]) {
    const { events } = await alone({ approve: (() => odd) as never }, { rounds: 1 })
    t.equal(declined(events).length, 1, `${odd} is no yes`)
  }
})

t.test('another base model is refused before anything', async (t) => {
  const other = await alone({ model: goldenFolder('qwen2') })
  t.match(other.error, { code: 'E_BASE', message: /its base is .*config\.json of the model here says another/ })
  const folder = join(root, 'other-weights')
  cpSync(path, folder, { recursive: true })
  const weights = 'model.safetensors'
  const bytes = readFileSync(join(folder, weights))
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(join(folder, weights), bytes)
  const changed = await alone({ model: folder })
  t.match(changed.error, { code: 'E_BASE', message: /SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}/ })
  using plain = await loadModel(path)
  const held = await alone({ model: plain })
  t.match(held.error, { code: 'E_BASE', message: /loaded with quantization none.*with nf4/ })
  for (const { events } of [other, changed, held]) {
    t.same(
      events.map(({ type }) => type),
      ['error'],
      'it never joined',
    )
  }
})

t.test('another tokenizer of the same weights is refused before a row is read, with both hashes', async (t) => {
  const base = fileURLToPath(new URL('../../assets/gsm-3m', import.meta.url))
  const own = join(root, 'other-tokenizer')
  cpSync(base, own, { recursive: true })
  const template = join(own, 'chat_template.jinja')
  const data = { rows: [{ text: 'one two three' }, { text: 'four five six' }] }
  const text = { data: { format: 'text' as const, maxLength: 64 }, model: { path: base } }
  const join_ = (model: string) => alone({ model, data: data.rows }, { rounds: 1, config: text })
  t.equal((await join_(own)).error, undefined, 'a copy is the same')
  const written = readFileSync(template, 'utf8')
  writeFileSync(template, `${written}\n`)
  const hash = async (folder: string) => await identifyTokenizer(folder)
  const { error, events } = await join_(own)
  t.match(error, { code: 'E_BASE', message: /the tokenizer of .* is not that of the federation's base/ })
  t.same(error!.details, { got: await hash(own), expected: await hash(base) })
  t.ok(error!.message.includes(await hash(own)) && error!.message.includes(await hash(base)), 'it says both')
  t.same(
    events.map(({ type }) => type),
    ['error'],
    'it never joined',
  )
  rmSync(join(own, 'tokenizer.json'))
  t.match((await join_(own)).error, { code: 'E_TOKENIZER' })
})

t.test('a base that was hashed is not read again, and one that changed is', async (t) => {
  const folder = join(root, 'remembered')
  cpSync(path, folder, { recursive: true })
  const own = newFolder()
  t.equal((await alone({ model: folder, folder: own })).error, undefined)
  const remembered = join(own, 'base.json')
  const state = JSON.parse(readFileSync(remembered, 'utf8'))
  writeFileSync(remembered, JSON.stringify({ ...state, weights: '0'.repeat(64) }))
  rmSync(join(own, 'state.json'))
  t.match((await alone({ model: folder, folder: own })).error, { code: 'E_BASE' }, 'it is believed')
  writeFileSync(remembered, 'nonsense')
  rmSync(join(own, 'state.json'))
  t.equal((await alone({ model: folder, folder: own })).error, undefined, 'what cannot be read is made again')
})

t.test('a server that lies: each is refused by its code, and nothing is sent', async (t) => {
  const changed = (change: (given: Description) => object) => ({
    description: (given: Description) => ({ ...given, ...change(given) }),
  })
  const asked = (change: object) => ({
    notice: (given: Notice) => (given.type === 'work' ? { ...given, ...change } : given),
  })
  const offered = (change: object) => ({
    notice: (given: Notice) => (given.type === 'work' ? { ...given, offer: { ...given.offer, ...change } } : given),
  })
  const cases: [Parameters<typeof alone>[1], string][] = [
    [changed(() => ({ protocol: 2 })), 'E_PROTOCOL'],
    [changed(() => ({ run: 'short' })), 'E_PROTOCOL'],
    [changed(() => ({ federation: {} })), 'E_CONFIG'],
    [changed(({ federation }) => ({ federation: { ...federation, code: 'run me' } })), 'E_CONFIG'],
    [changed(({ federation }) => ({ federation: { ...federation, algorithm: 'none such' } })), 'E_CONFIG'],
    [changed(({ adapter }) => ({ adapter: { ...adapter, length: 3 } })), 'E_BASE'],
    [changed(({ adapter }) => ({ adapter: { ...adapter, targets: ['model.layers.99.self_attn.q_proj'] } })), 'E_BASE'],
    [changed(({ adapter }) => ({ adapter: { ...adapter, config: { ...adapter.config, rank: -1 } } })), 'E_CONFIG'],
    [changed(({ model }) => ({ model: { ...model, options: { quantization: 'nf4', threads: 9 } } })), 'E_CONFIG'],
    [changed(({ data }) => ({ data: { ...data, cacheDir: '/tmp/elsewhere' } })), 'E_CONFIG'],
    [changed(({ data }) => ({ data: { ...data, format: 'alpaca' } })), 'E_CONFIG'],
    [changed(() => ({ initial: { blob: 'f'.repeat(64), bytes: 9 } })), 'E_BLOB_MISSING'],
    [asked({ round: 7 }), 'E_PROTOCOL'],
    [offered({ client: 'b' }), 'E_PROTOCOL'],
    [{ notice: (given) => (given.type === 'outcome' ? { ...given, round: 9 } : given) }, 'E_PROTOCOL'],
  ]
  for (const [lie, code] of cases) {
    const { error, events } = await alone({}, lie)
    t.equal(error?.code, code, `${code}: ${error?.message}`)
    t.match(events.at(-1), { type: 'error', code })
  }
})

t.test('what fails in a round fails in that round only', async (t) => {
  const { events, error, told } = await alone(
    {},
    {
      notice: (given) =>
        given.type === 'work' && given.round === 1
          ? { ...given, offer: { ...given.offer, vectors: { adapter: { blob: 'f'.repeat(64), bytes: 9 } } } }
          : given,
    },
  )
  t.equal(error, undefined)
  t.match(
    events.filter(({ type }) => type === 'failed' || type === 'outcome'),
    [
      { type: 'failed', round: 1, code: 'E_BLOB_MISSING' },
      { type: 'outcome', round: 2, counted: true },
    ],
  )
  t.match(
    told.filter(({ type }) => type === 'failed'),
    [{ round: 1, code: 'E_BLOB_MISSING' }],
  )
})

t.test('options that cannot be are refused at once', async (t) => {
  const start = (options: object) => () =>
    takePart(async () => t.fail('connected') as never, {
      model,
      data: rows,
      folder: newFolder(),
      ...options,
    } as ParticipantOptions)
  for (const [options, code] of [
    [{ model: 3 }, 'E_ARGUMENT'],
    [{ model: '' }, 'E_ARGUMENT'],
    [{ data: undefined }, 'E_ARGUMENT'],
    [{ approve: true }, 'E_ARGUMENT'],
    [{ folder: '' }, 'E_CONFIG'],
    [{ limits: { steps: 0 } }, 'E_CONFIG'],
    [{ limits: { memory: 'much' } }, 'E_CONFIG'],
    [{ limits: { seconds: Number.NaN } }, 'E_CONFIG'],
    [{ limits: { colour: 1 } }, 'E_CONFIG'],
    [{ between: 'night' }, 'E_CONFIG'],
    [{ onIdle: -1 }, 'E_CONFIG'],
    [{ colour: 'red' }, 'E_CONFIG'],
  ] as const) {
    t.throws(start(options), { code }, JSON.stringify(options))
  }
})

t.test('limits: the first that is exceeded is named, an unknown demand exceeds none', async (t) => {
  checkLimits({ steps: 3, epsilon: 1 }, { steps: 3, epsilon: 1, seconds: undefined, bytesUp: 1e12 })
  t.throws(() => checkLimits({ seconds: 10 }, { seconds: 10.5 }), {
    code: 'E_LIMIT',
    message: /10\.5 seconds.*10\.0 seconds/,
  })
  t.throws(() => checkLimits({ epsilon: 8 }, { epsilon: Number.NaN }), { code: 'E_LIMIT' }, 'NaN is no small number')
  t.throws(() => checkLimits({ epsilon: 8 }, { epsilon: Number.POSITIVE_INFINITY }), {
    code: 'E_LIMIT',
    message: /nothing is private/,
  })
})

t.test('an account of privacy: paid once an answer, on disk first, never forgotten', async (t) => {
  const folder = newFolder()
  const privacy = { delta: 1e-5, accountant: 'pld' } as const
  const run = '0'.repeat(32)
  const spend = { sampleRate: 0.1, noiseMultiplier: 1, steps: 10 }
  const account = await Account.open(folder, run, privacy, false)
  t.equal(account.epsilon, 0)
  const after = account.after(spend)
  await account.pay('one', spend)
  t.equal(account.epsilon, after)
  await account.pay('one', spend)
  t.equal(account.epsilon, after, 'the same answer again')
  await account.pay('two', spend)
  t.ok(account.epsilon > after)
  const again = await Account.open(folder, run, privacy, true)
  t.equal(again.epsilon, account.epsilon)
  await again.pay('two', spend)
  t.equal(again.epsilon, account.epsilon, 'also after a restart')
  await t.rejects(Account.open(folder, '1'.repeat(32), privacy, true), { code: 'E_CHECKPOINT' })
  writeFileSync(join(folder, 'privacy.json'), '{"version":1,"spends":[]}')
  await t.rejects(Account.open(folder, run, privacy, true), { code: 'E_CHECKPOINT', message: /damaged/ })
  rmSync(join(folder, 'privacy.json'))
  await t.rejects(Account.open(folder, run, privacy, true), { code: 'E_CHECKPOINT', message: /missing/ })
})
