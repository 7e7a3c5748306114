/** Updates that were damaged on the way, cut off, forged, or never were updates: a coded error, and the sum stays as it was. */
import t from 'tap'
import { createAggregator } from '../../src/aggregation/aggregator.js'
import { codecs, decodeUpdate, encodeUpdate } from '../../src/compression/codec.js'
import { isFedloraError } from '../../src/errors.js'
import { tensorsFor } from '../support/layouts.js'
import { bytesOf } from '../support/train.js'

const length = 300
const update = Float32Array.from({ length }, (_, i) => Math.sin(i) * (i % 7 === 0 ? 3 : 0.01))
const refusals = ['E_CHECKSUM', 'E_FORMAT', 'E_VERSION']

/** Tells what a call does: the code of its refusal, or why that is none. */
function outcome(call: () => unknown): string {
  try {
    call()
    return 'accepted'
  } catch (error) {
    return isFedloraError(error) && /encoded update/.test(error.message) ? error.code : `not coded: ${error}`
  }
}

for (const codec of codecs) {
  t.test(`${codec}: one bit, one byte less, one byte more`, async (t) => {
    const { bytes } = encodeUpdate(update, { codec, density: 0.1, seed: 1, layout: tensorsFor(length) })
    using sums = createAggregator(length)
    sums.add(bytes, 3)
    const before = bytesOf(sums.mean())
    const seen: Record<string, number> = {}
    const attempt = (message: Uint8Array) => {
      const decoded = outcome(() => decodeUpdate(message))
      const added = outcome(() => sums.add(message, 1))
      const both = decoded === added ? decoded : `${decoded} / ${added}`
      seen[both] = (seen[both] ?? 0) + 1
    }
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at]! ^= 1 << ((at * 5) % 8)
      attempt(damaged)
    }
    const step = bytes.length > 400 ? 7 : 1
    for (let end = 0; end < bytes.length; end += step) attempt(bytes.slice(0, end))
    attempt(new Uint8Array([...bytes, 0]))
    t.same(
      Object.keys(seen).filter((code) => !refusals.includes(code)),
      [],
      JSON.stringify(seen),
    )
    t.ok(seen.E_CHECKSUM! >= bytes.length - 40 && seen.E_FORMAT! > 0 && seen.E_VERSION! > 0, JSON.stringify(seen))
    t.equal(sums.count, 1)
    t.equal(sums.totalWeight, 3)
    t.ok(before.equals(bytesOf(sums.mean())), 'not a bit of the mean has moved')
    t.equal(
      outcome(() => sums.add(bytes, 1)),
      'accepted',
      'canary: undamaged, it is added',
    )
  })
}

t.test('what never was an update', async (t) => {
  using sums = createAggregator(length)
  for (const [what, foreign] of Object.entries({
    nothing: new Uint8Array(0),
    zeros: new Uint8Array(1000),
    picture: Buffer.from('\x89PNG\r\n\x1a\n'.padEnd(200, 'x'), 'latin1'),
    json: Buffer.from(JSON.stringify({ update: [1, 2, 3] }).padEnd(100)),
    magic: Buffer.from('FLUP'),
  })) {
    t.equal(
      outcome(() => decodeUpdate(foreign)),
      'E_FORMAT',
      what,
    )
    t.equal(
      outcome(() => sums.add(foreign)),
      'E_FORMAT',
      what,
    )
  }
  for (const foreign of [null, undefined, 'FLUP', [1, 2], new ArrayBuffer(50), new Float64Array(50)] as never[]) {
    t.throws(() => decodeUpdate(foreign), { code: 'E_ARGUMENT', message: /expected a Uint8Array/ })
    t.throws(() => sums.add(foreign), { code: 'E_ARGUMENT', message: /expected a Uint8Array/ })
  }
  t.equal(sums.count, 0)
  t.throws(() => sums.mean(), { code: 'E_ARGUMENT' })
})

t.test('good updates in the wrong place', async (t) => {
  using sums = createAggregator(length)
  const { bytes } = encodeUpdate(update, { codec: 'bf16' })
  const short = encodeUpdate(update.subarray(1), { codec: 'bf16' }).bytes
  t.throws(() => sums.add(short), { code: 'E_SHAPE', message: /299.*300/ })
  t.equal(decodeUpdate(short).length, 299)
  for (const weight of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '3', null] as never[]) {
    t.throws(() => sums.add(bytes, weight), { code: 'E_ARGUMENT', message: /weight/ }, `${weight}`)
  }
  t.equal(sums.count, 0)
})

t.test('updates that are not finite are neither encoded nor added', async (t) => {
  const layout = tensorsFor(length)
  for (const codec of codecs) {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const bad = update.slice()
      bad[123] = value
      t.throws(() => encodeUpdate(bad, { codec, layout }), { code: 'E_NONFINITE', message: /123/ }, `${codec} ${value}`)
      const residual = new Float32Array(length)
      residual[7] = value
      t.throws(() => encodeUpdate(update, { codec, residual, layout }), { code: 'E_NONFINITE', message: /7/ }, codec)
    }
  }
})

/** CRC-32C, bit by bit. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

t.test('forged headers, their checksum right', async (t) => {
  const { bytes } = encodeUpdate(update, { codec: 'topk', density: 0.1 })
  const forge = (change: (view: DataView) => void) => {
    const message = bytes.slice()
    const view = new DataView(message.buffer)
    change(view)
    view.setUint32(36, crc32c(message.subarray(0, 36)), true)
    return message
  }
  t.equal(
    outcome(() => decodeUpdate(forge(() => {}))),
    'accepted',
    'canary: the checksum is made as the library makes it',
  )
  using sums = createAggregator(length)
  const forged: Record<string, Uint8Array> = {
    'an unknown codec': forge((view) => view.setUint8(5, 9)),
    'a codec with a body of another size': forge((view) => view.setUint8(5, 2)),
    'bits that the codec does not have': forge((view) => view.setUint8(6, 3)),
    'a Rice parameter beyond 31': forge((view) => view.setUint8(7, 40)),
    'more elements than there can be': forge((view) => view.setBigUint64(8, 1n << 40n, true)),
    'more sent than there are': forge((view) => view.setBigUint64(16, 301n, true)),
    'nothing sent, and a body': forge((view) => view.setBigUint64(16, 0n, true)),
    'fewer elements than positions need': forge((view) => view.setBigUint64(8, 40n, true)),
    'a body beyond the message': forge((view) => view.setBigUint64(24, 1n << 62n, true)),
  }
  for (const [what, message] of Object.entries(forged)) {
    t.equal(
      outcome(() => decodeUpdate(message)),
      'E_FORMAT',
      what,
    )
    t.throws(() => sums.add(message), { code: /E_FORMAT|E_SHAPE/ }, what)
  }
  const vast = forge((view) => view.setBigUint64(8, 0xffffffffn, true))
  t.throws(() => decodeUpdate(vast), { code: 'E_MEMORY' }, '16 GiB of zeros are refused before they are made')
  t.throws(() => sums.add(vast), { code: 'E_SHAPE' })
  t.equal(sums.count, 0)
})
