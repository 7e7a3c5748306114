/** Encoded updates through the public API: the law of error feedback, exact sums in any order, refusals. */
import t from 'tap'
import { type Aggregator, createAggregator } from '../../src/aggregation/aggregator.js'
import { type Codec, codecs, decodeUpdate, encodeUpdate } from '../../src/compression/codec.js'
import { Random } from '../../src/random/random.js'
import { tensorsFor } from '../support/layouts.js'
import { bytesOf } from '../support/train.js'

function vector(length: number, seed: number): Float32Array {
  const random = new Random(seed, 77)
  return Float32Array.from({ length }, () => (random.uniform() - 0.5) * 2 ** Math.floor(random.uniform() * 12 - 8))
}

/** One unit in the last place of the larger of two numbers. */
function ulp(a: number, b: number): number {
  const exponent = Math.floor(Math.log2(Math.max(Math.abs(a), Math.abs(b), 2 ** -126)))
  return 2 ** (exponent - 23)
}

/** How many elements break |sent + residual − t| ≤ 1 ulp of the larger. */
function violations(t: Float32Array, sent: Float32Array, residual: Float32Array): number {
  let count = 0
  for (let i = 0; i < t.length; i++) {
    const error = Math.abs(sent[i]! + residual[i]! - t[i]!)
    if (!(error <= ulp(Math.max(Math.abs(sent[i]!), Math.abs(residual[i]!)), t[i]!))) count++
    if (sent[i] === 0 && !Object.is(residual[i], t[i]) && residual[i] !== t[i]) count++
  }
  return count
}

const bitsOf: Partial<Record<Codec, readonly (2 | 4 | 8 | 16 | 32)[]>> = {
  topk: [2, 4, 8],
  randk: [4, 8, 16, 32],
  blocks: [4, 32],
}
const encodings = codecs.flatMap(
  (codec) => bitsOf[codec]?.map((bits) => ({ codec, bits, density: 1 / 16, block: 16 })) ?? [{ codec }],
)

for (const encoding of encodings) {
  t.test(`${JSON.stringify(encoding)}: what is not sent stays`, (t) => {
    for (const length of [1, 7, 64, 1000, 4097]) {
      let residual = new Float32Array(length)
      for (let round = 0; round < 4; round++) {
        const update = vector(length, 100 * length + round)
        const total = update.map((value, i) => value + residual[i]!)
        const before = bytesOf(residual).toString('hex')
        const message = encodeUpdate(update, { ...encoding, seed: round, residual, layout: tensorsFor(length) })
        t.equal(bytesOf(residual).toString('hex'), before, 'the old residual is as it was')
        const sent = decodeUpdate(message.bytes)
        t.equal(violations(total, sent, message.residual!), 0)
        const again = encodeUpdate(update, { ...encoding, seed: round, residual, layout: tensorsFor(length) })
        t.ok(Buffer.from(again.bytes).equals(Buffer.from(message.bytes)), 'the same seed, the same bytes')
        residual = message.residual as Float32Array<ArrayBuffer>
      }
    }
    t.end()
  })
}

t.test('canary: a residual that forgets is seen', (t) => {
  const update = vector(1000, 1)
  const { bytes, residual } = encodeUpdate(update, { codec: 'int4', residual: new Float32Array(1000) })
  residual![17]! += 0.01
  t.not(violations(update, decodeUpdate(bytes), residual!), 0)
  t.end()
})

t.test('sizes: lossy codecs are smaller by what they promise', (t) => {
  const update = vector(65536, 3)
  const size = (codec: Codec, more = {}) => encodeUpdate(update, { codec, ...more }).bytes.length
  const raw = size('f32')
  t.ok(raw >= 4 * update.length && raw < 4 * update.length + 128)
  t.ok(size('bf16') < raw / 1.9)
  t.ok(size('int8') < raw / 3.5)
  t.ok(size('int4') < raw / 6.5)
  t.ok(size('topk', { density: 1 / 64, bits: 2 }) < raw / 200)
  t.ok(size('sign') < raw / 30)
  t.ok(size('randk', { density: 1 / 64, bits: 4 }) < raw / 440)
  t.ok(size('lowrank', { rank: 1, layout: [{ shape: [16, 4096] }] }) < raw / 30)
  t.ok(size('blocks', { density: 1 / 64, bits: 32 }) < raw / 60)
  t.same(encodeUpdate(update, { codec: 'f32' }).residual, null)
  t.ok(bytesOf(decodeUpdate(encodeUpdate(update, { codec: 'f32' }).bytes)).equals(bytesOf(update)))
  t.end()
})

t.test('the mean is exact and does not depend on the order', (t) => {
  const length = 3000
  const messages = encodings.flatMap((encoding, i) =>
    [0, 1].map((k) => ({
      bytes: encodeUpdate(vector(length, 10 * i + k), { ...encoding, seed: k, layout: tensorsFor(length) }).bytes,
      weight: 1 + ((7 * i + k) % 5),
    })),
  )
  const mean = (list: typeof messages) => {
    using aggregator = createAggregator(length)
    for (const { bytes, weight } of list) aggregator.add(bytes, weight)
    t.equal(aggregator.count, list.length)
    return aggregator.mean()
  }
  const forward = mean(messages)
  t.ok(bytesOf(forward).equals(bytesOf(mean(messages.toReversed()))))
  t.ok(bytesOf(forward).equals(bytesOf(mean([...messages.slice(5), ...messages.slice(0, 5)]))))
  const total = messages.reduce((sum, { weight }) => sum + weight, 0)
  const exact = new Float64Array(length)
  for (const { bytes, weight } of messages) {
    for (const [i, value] of decodeUpdate(bytes).entries()) exact[i]! += (weight / total) * value
  }
  const worst = Math.max(...forward.map((value, i) => Math.abs(value - exact[i]!)))
  t.ok(worst <= 1e-6, `${worst}`)
  t.notOk(bytesOf(forward).equals(bytesOf(mean(messages.slice(1)))), 'canary: one message less')
  t.end()
})

t.test('partial sums: any tree of aggregators has the bits of one; bytes that are none change nothing', (t) => {
  const length = 5000
  using all = createAggregator(length)
  const parts = [createAggregator(length), createAggregator(length), createAggregator(length)]
  for (let client = 0; client < 7; client++) {
    const random = new Random(client, 0, 0)
    const scale = 10 ** (3 * client - 9)
    const update = Float32Array.from({ length }, () => scale * (random.word() / 2 ** 31 - 1))
    const { bytes } = encodeUpdate(update, { codec: client % 2 === 0 ? 'f32' : 'int8' })
    all.add(bytes, 1 + client)
    parts[client % 3]!.add(bytes, 1 + client)
  }
  const [a, b, c] = parts as [Aggregator, Aggregator, Aggregator]
  using top = createAggregator(length)
  b.merge(c.partial())
  top.merge(b.partial())
  top.merge(a.partial())
  t.same([top.count, top.totalWeight], [7, all.totalWeight])
  t.same(bytesOf(top.mean()), bytesOf(all.mean()))
  t.notSame(bytesOf(a.mean()), bytesOf(all.mean()), 'canary: a part is not the whole')

  const before = bytesOf(top.mean())
  const damaged = a.partial()
  damaged[100]! ^= 1
  t.throws(() => top.merge(damaged), { code: 'E_CHECKSUM' })
  t.throws(() => top.merge(a.partial().subarray(0, 40)), { code: 'E_FORMAT' })
  t.throws(() => top.merge('partial' as never), { code: 'E_ARGUMENT' })
  using other = createAggregator(length + 1)
  t.throws(() => other.merge(a.partial()), { code: 'E_SHAPE' })
  t.same(bytesOf(top.mean()), before)
  a.dispose()
  t.throws(() => a.partial(), { code: 'E_DISPOSED' })
  for (const part of parts) part.dispose()
  t.end()
})

t.test('threads, grouping and place change no bit of long vectors', (t) => {
  const length = 300_001
  const updates = encodings.map((_, i) => vector(length, 50 + i))
  const messages = encodings.map((encoding, i) => {
    const residual = vector(length, 90 + i)
    const options = { ...encoding, seed: i, layout: tensorsFor(length) }
    const alone = encodeUpdate(updates[i]!, { ...options, residual, threads: 1 })
    const helped = encodeUpdate(updates[i]!, { ...options, residual })
    const inPlace = encodeUpdate(updates[i]!, { ...options, residual, inPlace: true, threads: 3 })
    t.equal(inPlace.residual, residual, 'the array that was given')
    for (const other of [helped, inPlace]) {
      t.ok(bytesOf(other.bytes).equals(bytesOf(alone.bytes)), `${encoding.codec}: the same message`)
      t.ok(bytesOf(other.residual!).equals(bytesOf(alone.residual!)), `${encoding.codec}: the same residual`)
    }
    const values = bytesOf(decodeUpdate(alone.bytes, { threads: 1 }))
    t.ok(values.equals(bytesOf(decodeUpdate(alone.bytes))))
    return { bytes: alone.bytes, weight: i + 1 }
  })
  using alone = createAggregator(length, { threads: 1 })
  for (const { bytes, weight } of messages) alone.add(bytes, weight)
  const mean = bytesOf(alone.mean())
  using helped = createAggregator(length)
  helped.addAll(messages.slice(0, 3))
  helped.addAll(new Set(messages.slice(3)))
  t.ok(mean.equals(bytesOf(helped.mean())))
  t.equal(helped.count, messages.length)
  t.equal(helped.totalWeight, alone.totalWeight)
  const damaged = messages[4]!.bytes.slice()
  damaged[damaged.length - 1]! ^= 1
  t.throws(() => helped.addAll([...messages, { bytes: damaged }]), { code: 'E_CHECKSUM' })
  t.throws(() => helped.addAll([messages[0]!, { bytes: messages[1]!.bytes, weight: 0 }]), { code: 'E_ARGUMENT' })
  t.throws(() => helped.addAll([undefined as never]), { code: 'E_ARGUMENT' })
  t.ok(mean.equals(bytesOf(helped.mean())), 'refused together')
  helped.addAll([])
  helped.addAll([{ bytes: messages[0]!.bytes }])
  t.equal(helped.totalWeight, alone.totalWeight + 1, 'a weight of 1 unless told')
  t.notOk(mean.equals(bytesOf(helped.mean())), 'canary: one message more')
  t.end()
})

t.test('into: the array that is given takes the values', (t) => {
  for (const length of [5, 300_001]) {
    const { bytes } = encodeUpdate(vector(length, 8), { codec: 'int8', seed: 4 })
    const into = new Float32Array(length).fill(7)
    t.equal(decodeUpdate(bytes, { into }), into)
    t.ok(bytesOf(into).equals(bytesOf(decodeUpdate(bytes))))
    using sums = createAggregator(length)
    sums.add(bytes)
    sums.add(encodeUpdate(vector(length, 9), { codec: 'f32' }).bytes, 2)
    const mean = sums.mean()
    t.notOk(bytesOf(into).equals(bytesOf(mean)), 'canary: they differ before')
    t.equal(sums.mean({ into }), into)
    t.ok(bytesOf(into).equals(bytesOf(mean)))
    sums.reset()
    t.throws(() => sums.mean({ into }), { code: 'E_ARGUMENT' }, 'nothing was added')
    t.throws(() => decodeUpdate(bytes.subarray(1), { into }), { name: 'FedloraError' })
    t.ok(bytesOf(into).equals(bytesOf(mean)), 'an error leaves it as it was')
    sums.add(bytes)
    t.ok(bytesOf(sums.mean()).equals(bytesOf(decodeUpdate(bytes))), 'a sum begun anew remembers nothing')
    t.throws(() => sums.mean({ into: new Float32Array(length + 1) }), { code: 'E_SHAPE' })
    t.throws(() => decodeUpdate(bytes, { into: new Float32Array(length - 1) }), { code: 'E_SHAPE' })
    t.throws(() => sums.mean({ into: [] as never }), { code: 'E_CONFIG' })
  }
  t.end()
})

t.test('in place: refused when the residual overlaps the update, unchanged after an error', (t) => {
  const both = new Float32Array(20)
  const half = (at: number) => both.subarray(at, at + 10)
  const encode = (at: number) => encodeUpdate(half(0), { codec: 'int8', residual: half(at), inPlace: true })
  t.throws(() => encode(0), { code: 'E_ARGUMENT', message: /overlaps/ })
  t.throws(() => encode(9), { code: 'E_ARGUMENT', message: /overlaps/ })
  t.ok(encode(10).residual, 'canary: side by side they may lie')
  const residual = Float32Array.of(1, 2, 3)
  const update = Float32Array.of(1, Number.NaN, 3)
  for (const codec of codecs) {
    t.throws(() => encodeUpdate(update, { codec, residual, inPlace: true, layout: tensorsFor(3) }), {
      code: 'E_NONFINITE',
    })
    t.same([...residual], [1, 2, 3])
  }
  t.end()
})

t.test('damaged and foreign messages are refused and leave the sum as it was', (t) => {
  const { bytes } = encodeUpdate(vector(500, 2), { codec: 'topk', density: 0.1 })
  using aggregator = createAggregator(500)
  aggregator.add(bytes, 2)
  const before = bytesOf(aggregator.mean())
  for (let at = 0; at < bytes.length; at += 3) {
    const damaged = bytes.slice()
    damaged[at]! ^= 0x40
    t.throws(() => aggregator.add(damaged), { code: /^E_(FORMAT|CHECKSUM|VERSION|SHAPE)$/ })
    t.throws(() => decodeUpdate(damaged), { name: 'FedloraError' })
  }
  for (let length = 0; length < bytes.length; length += 11) {
    t.throws(() => aggregator.add(bytes.subarray(0, length)), { name: 'FedloraError' })
  }
  t.throws(() => aggregator.add(encodeUpdate(vector(499, 2), { codec: 'f32' }).bytes), { code: 'E_SHAPE' })
  t.throws(() => aggregator.add(bytes, 0), { code: 'E_ARGUMENT' })
  t.throws(() => aggregator.add(bytes, Number.NaN), { code: 'E_ARGUMENT' })
  t.throws(() => aggregator.add('text' as never), { code: 'E_ARGUMENT' })
  t.ok(before.equals(bytesOf(aggregator.mean())))
  aggregator.dispose()
  aggregator.dispose()
  t.throws(() => aggregator.mean(), { code: 'E_DISPOSED' })
  t.end()
})

t.test('options and values are checked', (t) => {
  const update = vector(10, 1)
  t.throws(() => encodeUpdate(update, { codec: 'zip' } as never), { code: 'E_CONFIG', message: /codec: got "zip"/ })
  t.throws(() => encodeUpdate(update, { codec: 'topk', densty: 1 } as never), {
    code: 'E_CONFIG',
    message: /did you mean "density"/,
  })
  t.throws(() => encodeUpdate(update, { codec: 'topk', bits: 3 } as never), { code: 'E_CONFIG' })
  t.throws(() => encodeUpdate([1, 2] as never, { codec: 'f32' }), { code: 'E_ARGUMENT' })
  t.throws(() => encodeUpdate(update, { codec: 'int8', residual: new Float32Array(9) }), { code: 'E_SHAPE' })
  for (const codec of codecs) {
    const bad = Float32Array.from(update)
    bad[3] = Number.NaN
    t.throws(() => encodeUpdate(bad, { codec, layout: tensorsFor(bad.length) }), { code: 'E_NONFINITE' }, codec)
  }
  t.throws(() => createAggregator(0), { code: 'E_ARGUMENT' })
  t.throws(() => createAggregator(5, { threads: 0 }), { code: 'E_CONFIG' })
  t.throws(() => decodeUpdate(encodeUpdate(update, { codec: 'f32' }).bytes, { threads: 1.5 }), { code: 'E_CONFIG' })
  t.throws(() => createAggregator(1).mean(), { name: 'FedloraError' }, 'nothing was added')
  t.end()
})

t.test('densities of A and B, and what cannot be', (t) => {
  const update = vector(3000, 5)
  const layout = [
    { name: 'a', part: 'lora_A', shape: [10, 100], offset: 0, length: 1000 },
    { part: 'lora_B', shape: [200, 10] },
  ] as const
  const options = { codec: 'topk', density: { A: 0.01, B: 0.1 }, layout, bits: 2 } as const
  const sent = decodeUpdate(encodeUpdate(update, options).bytes)
  t.equal(sent.subarray(0, 1000).filter((value) => value !== 0).length, 10)
  t.equal(sent.subarray(1000).filter((value) => value !== 0).length, 200)
  const whole = decodeUpdate(encodeUpdate(update, { ...options, density: 0.07 }).bytes)
  t.not(whole.subarray(0, 1000).filter((value) => value !== 0).length, 10, 'canary: one density for all')
  const refuse = (more: object, code: string, text: RegExp) =>
    t.throws(() => encodeUpdate(update, { ...options, ...more }), { code, message: text })
  refuse({ layout: undefined }, 'E_ARGUMENT', /layout/)
  refuse({ layout: [{ shape: [10, 100] }, { shape: [200, 10] }] }, 'E_ARGUMENT', /layout\[0\] has no part/)
  refuse({ layout: [{ part: 'lora_A', shape: [10, 100], offset: 4 }] }, 'E_SHAPE', /at 4, expected .* at 0/)
  refuse({ layout: [layout[0]] }, 'E_SHAPE', /1000 elements, the update 3000/)
  refuse({ layout: [{ part: 'lora_A', shape: [0, 3] }] }, 'E_CONFIG', /layout/)
  refuse({ layout: [{ part: 'lora_A', shape: [1e9, 1e9] }] }, 'E_SHAPE', /rows/)
  refuse({ layout: [] }, 'E_CONFIG', /layout/)
  refuse({ density: { A: 0.1 } }, 'E_CONFIG', /density/)
  refuse({ density: { A: 0.1, B: Number.NaN } }, 'E_CONFIG', /density/)
  refuse({ bits: 16 }, 'E_CONFIG', /topk sends values of 2, 4, 8 bits, not 16/)
  refuse({ codec: 'randk', bits: 2 }, 'E_CONFIG', /randk sends values of 4, 8, 16, 32 bits, not 2/)
  refuse({ codec: 'blocks', bits: 4, block: 100 }, 'E_CONFIG', /block.*power of two/)
  refuse({ codec: 'randk', bits: 4, unbiased: true, residual: new Float32Array(3000) }, 'E_ARGUMENT', /twice/)
  refuse({ codec: 'lowrank', layout: undefined, density: 0.1 }, 'E_ARGUMENT', /adapter\.layout/)
  for (const rank of [0, 257, 1.5]) refuse({ codec: 'lowrank', rank }, 'E_CONFIG', /rank/)
  refuse({ choiceSeed: -1 }, 'E_CONFIG', /choiceSeed/)
  t.end()
})
