/**
 * Foreign bytes in the place of a segment: whatever they are, the reader gives records or a coded error, and never a record that nobody wrote.
 * FEDLORA_FUZZ says how many inputs; a million take some minutes.
 */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { encodeFrame, recordsText } from '../../src/federated/journal/frame.js'
import { encodeHead, parseSegment, segmentFile } from '../../src/federated/journal/segment.js'

const inputs = Number(process.env.FEDLORA_FUZZ ?? 20_000)
const head = { run: 'ab'.repeat(16), first: 1, chain: 0 }
const name = segmentFile(1)

/** Numerical Recipes' linear congruential generator: the same inputs every time. */
function randomness(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function segment(frames: readonly (readonly unknown[])[]): Buffer {
  const parts = [encodeHead(head)]
  let checksum = 0
  for (const records of frames) {
    const frame = encodeFrame([recordsText(records)], checksum)
    checksum = frame.checksum
    parts.push(frame.bytes)
  }
  return Buffer.concat(parts)
}

const frames = [[{ a: 1 }], ['b', [2]], [{ blob: 'f'.repeat(64), client: 'north' }], [null]]
const whole = segment(frames)
const records = frames.flat()
/** The texts of the records after each frame. */
const prefixes = new Set([0, 1, 3, 4, 5].map((count) => JSON.stringify(records.slice(0, count))))
const from = encodeHead(head).length

/** A whole segment with some damage: bytes changed, cut, doubled, moved, made up, lengths that lie. */
function mutate(below: (limit: number) => number): Buffer {
  let bytes = Buffer.from(whole)
  for (let changes = 1 + below(3); changes > 0; changes--) {
    const at = below(bytes.length + 1)
    const length = below(40)
    const made = Buffer.from(Array.from({ length }, () => below(256)))
    switch (below(7)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << below(8)
        break
      case 1:
        bytes = bytes.subarray(0, at)
        break
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), made, bytes.subarray(at)])
        break
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
        break
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - length))])
        break
      case 5:
        if (at + 4 <= bytes.length)
          bytes.writeUInt32LE([0, 1, 0xffffffff, 0x7fffffff, 1 << 24, bytes.length][below(6)]!, at)
        break
      default:
        bytes = Buffer.concat([encodeHead(head), made])
    }
  }
  return bytes
}

/** Undefined when the outcome is one of those allowed. */
function judge(bytes: Buffer, parse: typeof parseSegment): string | undefined {
  for (const isLast of [true, false]) {
    try {
      const got = parse(name, bytes, isLast)
      const text = JSON.stringify(got.records)
      if (!prefixes.has(text)) return `records that nobody wrote: ${text}`
      if (!isLast && got.torn !== 0) return 'a torn end in the middle'
    } catch (error) {
      if (!(error instanceof FedloraError) || !['E_JOURNAL_CORRUPT', 'E_VERSION'].includes(error.code))
        return String(error)
    }
  }
  return undefined
}

t.test(`${inputs} mutated and random inputs`, async (t) => {
  const below = randomness(12)
  for (let i = 0; i < inputs; i++) {
    const bytes = i % 4 === 3 ? Buffer.from(Array.from({ length: below(200) }, () => below(256))) : mutate(below)
    const wrong = judge(bytes, parseSegment)
    if (wrong !== undefined) t.fail(`input ${i}: ${wrong}`, { bytes: bytes.toString('hex') })
  }
})

t.test('canary: a reader that leaves the check sums out is called wrong', async (t) => {
  const careless: typeof parseSegment = (path, bytes, isLast) => {
    const end = bytes.indexOf(10) + 1 || from
    const found: unknown[] = []
    for (let at = end; at + 8 <= bytes.length; at += 8 + bytes.readUInt32LE(at)) {
      found.push(...JSON.parse(bytes.toString('utf8', at + 8, at + 8 + bytes.readUInt32LE(at))))
    }
    return { ...parseSegment(path, whole, isLast), records: found }
  }
  const below = randomness(12)
  let wrong = 0
  for (let i = 0; i < 200; i++) if (judge(mutate(below), careless) !== undefined) wrong++
  t.ok(wrong > 20, `${wrong} of 200`)
})
