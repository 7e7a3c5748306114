/**
 * Calls every function, method and accessor of the addon with values drawn by a seed: junk, and good calls in which one or two
 * fields are junk. What is refused must be refused by a coded error, or by an error of JavaScript itself; nothing may crash.
 * Usage: node fuzz.mjs SEED CALLS, in an empty folder. Prints one JSON line of counts.
 */
import { copyFileSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorCodes } from '../../../dist/errors.js'
import { readModelConfig } from '../../../dist/model/read-config.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const addon = createRequire(import.meta.url)('node-gyp-build')(root)
const [seed, calls] = process.argv.slice(2).map(Number)

// mulberry32
let state = seed >>> 0
function random() {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

const golden = join(root, 'test', 'golden', 'models', 'llama')
copyFileSync(join(golden, 'model.safetensors'), 'model.safetensors')
const files = ['model.safetensors']
const { description } = await readModelConfig(golden)
const load = {
  files,
  description,
  quantization: 'nf4',
  doubleQuantization: true,
  blockSize: 64,
  compute: 'f32',
  threads: 1,
}
const layers = [{ module: 'model.layers.0.self_attn.q_proj', rank: 2, scaling: 2, dropout: 0.1 }]
const batch = () => ({
  ids: Int32Array.of(1, 2, 3, 4),
  labels: Int32Array.of(1, 2, 3, 4),
  lengths: Int32Array.of(3, 1),
})
const optimizer = { kind: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, momentum: 0 }
const session = { optimizer, maxGradNorm: 1, dropoutSeed: 1, recompute: 'none' }
const generation = {
  ids: Int32Array.of(1, 2),
  maxTokens: 5,
  temperature: 0.5,
  topK: 3,
  topP: 0.9,
  seed: 1,
  endIds: new Int32Array(0),
}
const plan = { tokens: 8, rows: 2, longestRow: 4, supervised: 8, recompute: 'all', optimizer: 'sgd', layers }
const codec = () => ({ codec: pick(['f32', 'bf16', 'int8', 'int4', 'topk']), density: 0.5, bits: 4, seed: 3 })
const message = () => addon.encodeUpdate(Float32Array.of(1, -2, 3, 0.5), null, codec()).bytes
const tensors = () => [{ name: 'x', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }]

const model = await addon.loadModel(load)
const other = await addon.loadModel({ ...load, compute: 'bf16', quantization: 'none', doubleQuantization: false })
const adapter = model.createAdapter(layers, 1)
const foreign = other.createAdapter(layers, 1)
const trainer = adapter.createSession(session)
const companion = model.createAdapter(layers, 2).createSession(session)
const speaker = model.generate(adapter, generation)
const checkpoint = addon.openCheckpoint(files)
const sums = addon.createAggregator(4)
sums.add(message(), 1)
const vocab = { '?': 0, a: 1, b: 2, ab: 3 }
const spelling = Buffer.from(
  JSON.stringify({
    added_tokens: [{ content: '<s>', special: true }],
    model: { type: 'BPE', unk_token: '?', vocab, merges: ['a b'] },
  }),
)
const speller = await addon.openTokenizer(new Uint8Array(spelling), '{}')

/** Gone, and still called. */
const graves = [model, adapter, trainer, speaker, checkpoint, sums].map((alive) => {
  const dead =
    alive === model
      ? undefined
      : alive === adapter
        ? model.createAdapter(layers, 1)
        : alive === trainer
          ? adapter.createSession(session)
          : alive === speaker
            ? model.generate(null, generation)
            : alive === checkpoint
              ? addon.openCheckpoint(files)
              : addon.createAggregator(4)
  dead?.dispose()
  return dead
})
const dead = await addon.loadModel(load)
const orphan = dead.createAdapter(layers, 1)
dead.dispose()
const mute = await addon.openTokenizer(new Uint8Array(spelling), '{}')
mute.dispose()
const objects = [
  model,
  other,
  adapter,
  foreign,
  trainer,
  companion,
  speaker,
  checkpoint,
  sums,
  speller,
  mute,
  dead,
  orphan,
  ...graves.filter(Boolean),
]

function detached() {
  const array = new Float32Array(4)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}
const numbers = [
  0,
  -0,
  1,
  2,
  3,
  4,
  7,
  64,
  128,
  4096,
  -1,
  0.5,
  1e-300,
  1e300,
  NaN,
  Infinity,
  -Infinity,
  2 ** 31 - 1,
  2 ** 53,
  -(2 ** 31),
]
const junk = [
  () => undefined,
  () => null,
  () => pick(numbers),
  () => pick(numbers),
  () => pick(['', 'x', 'nf4', 'a\0b', '\ud800', 'a'.repeat(5000), 'lm_head', '__proto__']),
  () => pick([true, false]),
  () => pick([10n, -1n, 2n ** 70n]),
  () => Symbol('s'),
  () => () => 1,
  () => class {},
  () => [],
  () => [undefined, null, 1, 'x', {}],
  () => Array(3),
  () => Array.from({ length: below(5) }, () => pick(numbers)),
  () => ({}),
  () => Object.create(null),
  () => new Date(Number.NaN),
  () => new Map([[1, 2]]),
  () => Promise.resolve(1),
  () => new Proxy({}, { get: () => pick(numbers) }),
  () => new Proxy([], {}),
  () => new Proxy(pick(objects), {}),
  () => Object.create(pick(objects)),
  () => ({
    get files() {
      throw new RangeError('a getter that throws')
    },
    get ids() {
      model.linears()
      return Int32Array.of(1)
    },
  }),
  () => new Float32Array(below(6)).fill(pick(numbers)),
  () => new Int32Array(below(6)).fill(pick(numbers)),
  () => new Uint8Array(below(60)).fill(below(256)),
  () => new Float64Array(3),
  () => new BigInt64Array(2),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(16),
  () => Buffer.from('FLUP and more'),
  () => new Float32Array(new SharedArrayBuffer(16)),
  () => new Int32Array(new SharedArrayBuffer(16)),
  () => new Uint8Array(new SharedArrayBuffer(64)),
  () => new Float32Array(new ArrayBuffer(16, { maxByteLength: 64 })),
  () => new Int32Array(new ArrayBuffer(16, { maxByteLength: 64 })),
  detached,
  () => pick(objects),
]
const nonsense = () => pick(junk)()

/** A copy in which one field, at any depth, is junk, missing, or too much. */
function spoiled(value, depth = 0) {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || depth > 4 || random() < 0.1)
    return nonsense()
  if (typeof value.dispose === 'function') return nonsense()
  try {
    // By its elements: an array whose length was spoiled before is not spread out.
    const copy = Array.isArray(value) ? Object.assign([], value) : { ...value }
    const keys = Object.keys(copy)
    if (keys.length === 0) return nonsense()
    const key = pick(keys)
    const draw = random()
    if (draw < 0.1) delete copy[key]
    else if (draw < 0.15) copy[pick(['extra', '__proto__', 'length'])] = nonsense()
    else copy[key] = spoiled(copy[key], depth + 1)
    return copy
  } catch {
    return nonsense() // a getter or a length that would not have it
  }
}

/** Bytes of a good message with some of them changed, cut off or added. */
function damaged() {
  const bytes = Uint8Array.from(message())
  for (let i = below(4); i >= 0; i--) bytes[below(bytes.length)] = below(256)
  const draw = random()
  return draw < 0.2 ? bytes.slice(0, below(bytes.length)) : draw < 0.3 ? new Uint8Array([...bytes, 0]) : bytes
}

/** A good tokenizer.json with some of its bytes changed, or cut off. */
function misspelt() {
  const bytes = Uint8Array.from(spelling)
  for (let i = below(3); i >= 0; i--) bytes[below(bytes.length)] = below(256)
  return random() < 0.2 ? bytes.slice(0, below(bytes.length)) : bytes
}
const text = () => pick(['', 'ab', 'a<s>b ', '\ud800é😀', 'ab'.repeat(900)])
const texting = () => ({
  specialTokens: pick([true, false]),
  offsets: pick([true, false]),
  continues: pick([true, false]),
})

const grid = { clip: 0.5, bits: 16, wordBytes: 4 }

/** What a good call looks like; each argument may be replaced or spoiled. */
const good = {
  info: () => [],
  processMemory: () => [],
  openCheckpoint: () => [files],
  loadModel: () => [
    load,
    pick([
      undefined,
      () => {},
      () => {
        throw new Error('progress')
      },
    ]),
  ],
  planModel: () => [load, plan],
  describeTensors: () => [load.description],
  writeSafetensors: () => [pick(['out.safetensors', 'nowhere/out', 'a/b']), tensors(), { format: 'pt' }],
  quantizeCheckpoint: () => [
    {
      files,
      output: 'quantised.safetensors',
      modules: ['model.layers.0.self_attn.q_proj'],
      quantization: 'nf4',
      doubleQuantization: false,
      blockSize: 64,
      threads: 1,
    },
  ],
  mergeCheckpoint: () => [{ files, output: 'merged.safetensors', adapter, threads: 1 }],
  encodeUpdate: () => [
    Float32Array.of(1, 2, 3),
    pick([null, new Float32Array(3)]),
    { ...codec(), inPlace: pick([true, false]), threads: pick([1, 2]) },
  ],
  decodeUpdate: () => [pick([message(), damaged()]), pick([undefined, 1, 2]), pick([undefined, new Float32Array(4)])],
  createAggregator: () => [4, pick([undefined, 1, 2])],
  measureReadBandwidth: () => [1, 0.001],
  cosine: () => [Float32Array.of(1, 2), Float32Array.of(2, 1)],
  addNormals: () => {
    const directions = [Float64Array.of(7, 2 ** 48), Float64Array.of(1, -1), 25 * 2 ** 32, undefined]
    return pick([directions, [new Float32Array(4), ...directions]])
  },
  dot: () => [Float32Array.of(1, 2), Float32Array.of(2, 1), pick([undefined, Float64Array.of(0, 1)])],
  linearCombination: () => [
    Float64Array.of(1, 2),
    [new Float32Array(4), Float32Array.of(1, 2, 3, 4)],
    new Float32Array(4),
    pick([undefined, Float64Array.of(0, 1, 2, 4)]),
    pick([undefined, 3]),
  ],
  serverStep: () => [
    { name: pick(['momentum', 'yogi']), rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 },
    ...Array.from({ length: 4 }, () => new Float32Array(4)),
  ],
  addMasks: () => [new Uint8Array(12), pick([2, 4]), new Uint8Array(64), new Uint8Array(32)],
  addWords: () => [new Uint8Array(12), pick([2, 4]), new Uint8Array(12)],
  quantizeWeighted: () => [
    new Float32Array(3),
    new Uint8Array(12),
    { ...grid, weight: 5, seed: 7, stream: 24 * 2 ** 32 },
  ],
  dequantizeMean: () => [new Uint8Array(12), pick([new Float32Array(3), new Float64Array(3)]), { ...grid, total: 5 }],
  shamirShare: () => [new Uint8Array(4), new Uint8Array(8), 7],
  shamirJoin: () => [Uint8Array.of(1, 5), new Uint8Array(8), 0],
  linears: () => [],
  plan: () => [plan],
  createAdapter: () => [layers, 3],
  logits: () => [pick([adapter, null, foreign]), Int32Array.of(1, 2, 3), Int32Array.of(2, 1)],
  evaluate: () => [pick([adapter, null]), batch()],
  generate: () => [adapter, generation],
  profile: () => [],
  stepTogether: () => [
    [trainer, companion].map((session) => ({ session, batches: [batch()], learningRate: 1e-3 })),
    pick([4, 100]),
  ],
  layout: () => [],
  read: () => [pick(['model.norm.weight', 'x'])],
  residual: () => [],
  residualLayout: () => [[3]],
  setResidual: () => [[3], new Float32Array((3 * adapter.length) / 2)],
  shareResidual: () => [pick([adapter, foreign])],
  clearResidual: () => [],
  readWeight: () => ['model.layers.0.self_attn.q_proj'],
  metadata: () => [],
  tensors: () => [],
  write: () => [new Float32Array(adapter.length)],
  gradients: () => [batch()],
  createSession: () => [session],
  step: () => [[batch(), batch()], 1e-3],
  cancel: () => [],
  state: () => [],
  restore: () => [{ step: 1, moment1: new Float32Array(adapter.length), moment2: new Float32Array(adapter.length) }],
  setTerms: () => [
    pick([null, { mu: 0.5, anchor: new Float32Array(adapter.length), correction: new Float32Array(adapter.length) }]),
  ],
  core: () => [],
  setCore: () => [new Float32Array(4)],
  next: () => [2],
  add: () => [pick([message(), damaged()]), 2],
  addAll: () => [
    [message(), pick([message(), damaged()])],
    [2, 1],
  ],
  mean: () => [pick([undefined, new Float32Array(4)])],
  reset: () => [],
  openTokenizer: () => [
    pick([new Uint8Array(spelling), misspelt()]),
    pick(['{}', '{"added_tokens":[[{"content":"x"}]]}', '{"around":7}', '']),
  ],
  description: () => [],
  encode: () => [text(), texting()],
  encodeMany: () => [[text(), text(), text()], { ...texting(), threads: pick([0, 1, 2]) }],
  decode: () => [Int32Array.of(0, 3, 4, -1, 99), pick([true, false])],
  tokenId: () => [pick(['ab', '<s>', 'none'])],
}

const targets = Object.keys(addon)
  .filter((name) => typeof addon[name] === 'function')
  .map((name) => ({ name, owner: undefined, call: (_, given) => addon[name](...given) }))
const kinds = [model, adapter, trainer, speaker, checkpoint, sums, speller]
for (const owner of kinds) {
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(owner))) {
    if (name === 'dispose') continue
    const { value, get } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(owner), name) ?? {}
    if (name === 'constructor')
      targets.push({ name, owner, call: (_, given) => (random() < 0.5 ? new value(...given) : value(...given)) })
    else targets.push({ name, owner, call: (self, given) => (value ?? get).apply(self, given) })
  }
}

if (process.env.FUZZ_CANARY) {
  const call = () => {
    throw new Error('no code')
  }
  for (let i = 0; i < 40; i++) targets.push({ name: 'canary', owner: undefined, call })
}

const counts = {
  calls: 0,
  returned: 0,
  coded: 0,
  javascript: 0,
  targets: targets.length,
  wrong: /** @type {string[]} */ ([]),
}
function judge(name, error) {
  if (errorCodes.includes(error?.code) && error.code !== 'E_INTERNAL') counts.coded++
  else if (error instanceof TypeError || error instanceof RangeError) counts.javascript++
  else counts.wrong.push(`${name}: ${error?.code} ${error}`)
}

/** Memory that a call may take is bounded, or the machine itself would be the victim. */
const above = (value, most) => typeof value === 'number' && value > most
const harmless = ({ name }, given) =>
  name === 'createAggregator'
    ? !above(given[0], 1e6)
    : name !== 'measureReadBandwidth' || !(above(given[0], 4) || above(given[1], 0.01))

const waiting = []
const stamp = process.env.FUZZ_TRACE ? (text) => process.stderr.write(`${text}\n`) : () => {}
for (let i = 0; i < calls; i++) {
  const target = pick(targets)
  const draw = random()
  let given = good[target.name]?.() ?? []
  if (draw < 0.25) given = Array.from({ length: below(4) }, nonsense)
  else if (draw < 0.8 && given.length > 0) {
    for (let n = 1 + below(2); n > 0; n--) {
      const at = below(given.length)
      given[at] = spoiled(given[at])
    }
  }
  if (!harmless(target, given)) continue
  const self = random() < 0.12 ? nonsense() : random() < 0.2 ? pick(objects) : target.owner
  counts.calls++
  stamp(`${i} ${target.name}`)
  try {
    const result = target.call(self, given)
    if (result instanceof Promise) {
      waiting.push(
        result.then(
          (value) => {
            counts.returned++
            if (typeof value?.dispose === 'function') value.dispose()
          },
          (error) => judge(target.name, error),
        ),
      )
    } else counts.returned++
  } catch (error) {
    judge(target.name, error)
  }
  if (waiting.length > 20) await Promise.all(waiting.splice(0))
}
await Promise.all(waiting)
// After all that, the objects still work.
adapter.write(new Float32Array(adapter.length))
const { loss } = await adapter.gradients(batch())
counts.alive =
  Number.isFinite(loss) &&
  speller.encode('ab<s>', { specialTokens: true, offsets: false, continues: false }).ids.join() === '3,4' &&
  (await model.logits(null, Int32Array.of(1), Int32Array.of(1))).length === description.vocabulary
counts.left = readFileSync('model.safetensors').equals(readFileSync(join(golden, 'model.safetensors')))
console.log(JSON.stringify(counts))
