/** Hostile bytes: whatever a server sends is read, or refused by a code; nothing hangs, overflows the stack or fills the memory. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isFedloraError } from '../../src/errors.js'
import { readArrayRecord } from '../../src/flower/objects/arrays.js'
import { unpackMessage } from '../../src/flower/objects/content.js'
import { readNpy, writeNpy } from '../../src/flower/objects/npy.js'
import { objectTypes, readObject } from '../../src/flower/objects/object.js'
import { readValues } from '../../src/flower/objects/values.js'
import { type FleetMethod, fleetMethods } from '../../src/flower/wire/fleet.js'
import { random } from '../support/flower/random.js'

const { entries } = JSON.parse(readFileSync(join('test', 'golden', 'flower', 'http-1.42.json'), 'utf8'))
const recorded = (entries as { method: string; response: string }[])
  .filter(({ method }) => method in fleetMethods)
  .map(({ method, response }) => ({ method: method as FleetMethod, bytes: Buffer.from(response, 'hex') }))
  .filter(({ bytes }) => bytes.length > 0)

const draw = random(1)

// A hundred thousand stacks would be most of the work.
Error.stackTraceLimit = 0

/** Bytes with one to four of them changed, taken out, doubled or cut off. */
function mutated(bytes: Uint8Array): Buffer {
  let result = Buffer.from(bytes)
  for (let changes = 1 + draw(4); changes > 0; changes--) {
    const at = draw(result.length + 1)
    const kind = draw(5)
    if (kind === 0 && at < result.length) result[at] = draw(256)
    else if (kind === 1 && at < result.length) result[at]! ^= 1 << draw(8)
    else if (kind === 2) result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1 + draw(8))])
    else if (kind === 3) result = Buffer.concat([result.subarray(0, at), result.subarray(draw(at + 1))])
    else result = result.subarray(0, at)
  }
  return result
}

const noise = (length: number) => Buffer.from(Uint8Array.from({ length }, () => draw(256)))

/** Runs `read` on many inputs; counts what was read and what was refused; anything else than a coded error fails. */
function survive(
  t: Test,
  count: number,
  input: (i: number) => Uint8Array,
  read: (bytes: Uint8Array, i: number) => void,
) {
  const outcome = { read: 0, refused: 0 }
  for (let i = 0; i < count; i++) {
    const bytes = input(i)
    try {
      read(bytes, i)
      outcome.read++
    } catch (error) {
      if (!isFedloraError(error)) return t.fail(`input ${i}: ${hexOf(bytes)}: ${(error as Error).stack}`)
      outcome.refused++
    }
  }
  t.ok(outcome.refused > count / 50, `${outcome.read} read, ${outcome.refused} refused`)
}

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex').slice(0, 400)

t.test('answers of the server, mutated and made up', async (t) => {
  const decode = (bytes: Uint8Array, i: number) =>
    fleetMethods[recorded[i % recorded.length]!.method].response.decode(bytes)
  survive(t, 60_000, (i) => mutated(recorded[i % recorded.length]!.bytes), decode)
  survive(t, 40_000, () => noise(draw(60)), decode)
})

t.test('objects', async (t) => {
  const objects = recorded
    .filter(({ method }) => method === 'pull-object')
    .map(({ bytes }) => fleetMethods['pull-object'].response.decode(bytes).content)
  const whole = new Map(objects.map((content, i) => [String(i), content]))
  const read = (content: Uint8Array) => {
    const object = readObject('mutant', content)
    const lookup = (id: string) => (id === 'mutant' ? object : readObject(id, whole.get(String(draw(objects.length)))!))
    if (object.type === 'Message' || object.type === 'RecordDict') unpackMessage(lookup, 'mutant', 1e6)
    else if (object.type === 'ArrayRecord') readArrayRecord(lookup, 'mutant', { bytes: 1e6 })
    else if (object.type === 'ArrayChunk') readNpy('mutant', object.body)
    else readValues('ConfigRecord', object.body)
  }
  survive(t, 40_000, (i) => mutated(objects[i % objects.length]!), read)
  survive(
    t,
    10_000,
    () => {
      const body = noise(draw(40))
      return Buffer.concat([Buffer.from(`${objectTypes[draw(objectTypes.length)]}  ${body.length}\0`), body])
    },
    read,
  )
})

t.test('arrays and values', async (t) => {
  const file = writeNpy('w', { shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) })
  survive(
    t,
    20_000,
    () => mutated(file),
    (bytes) => readNpy('w', bytes),
  )
  const config = recorded.map(({ bytes }) => bytes).find((bytes) => bytes.includes('ConfigRecord'))!
  survive(
    t,
    20_000,
    () => mutated(config.subarray(-64)),
    (bytes) => readValues('ConfigRecord', bytes),
  )
})

t.test('a canary: a reader that fails otherwise is called wrong', async (t) => {
  const failures: string[] = []
  const witness = { fail: (message: string) => failures.push(message), ok: () => true } as unknown as Test
  survive(
    witness,
    10,
    () => noise(5),
    () => {
      throw new RangeError('Maximum call stack size exceeded')
    },
  )
  t.match(failures, [/RangeError/])
})
