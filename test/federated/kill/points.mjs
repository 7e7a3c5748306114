/**
 * Points at which a process may die, counted from outside the program: node --import points.mjs PROGRAM. Before every change of a file (open for
 * writing, write, flush, rename, remove, make, cut) and every send on a socket stands a point, and one in the middle of each write and send, with half of
 * the bytes done. `globalThis.points` arms them; the process kills itself with SIGKILL at the chosen one.
 */
import fs, { promises as files } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'

const { writeSync, appendFileSync } = fs

export const points = {
  /** Points passed since `arm`. */
  passed: 0,
  /** How often each kind was passed. */
  kinds: /** @type {Record<string, number>} */ ({}),
  /** The point that is not survived: its number from 1, or `KIND#N`, the Nth of a kind. */
  at: /** @type {number | string} */ (Number.POSITIVE_INFINITY),
  armed: false,
  /** File that a line is appended to at the end: the point's number and kind. */
  log: '',
  /** @param {number | string} at @param {string} log */
  arm(at, log = '') {
    Object.assign(points, { passed: 0, kinds: {}, at, log, armed: true })
  },
  disarm() {
    points.armed = false
  },
  /** Work of the test's own, which is no point of the program. */
  aside(work) {
    const { armed } = points
    points.armed = false
    try {
      return work()
    } finally {
      points.armed = armed
    }
  },
}
Object.assign(globalThis, { points })
/** @typedef {typeof points} Points */

/** @param {string} kind */
function die(kind) {
  points.armed = false
  if (points.log !== '') appendFileSync(points.log, `${points.passed} ${kind}\n`)
  process.kill(process.pid, 'SIGKILL')
  for (;;); // the signal is on its way
}

/** Counts a point; whether it is the one. @param {string} kind */
function isReached(kind) {
  points.passed++
  points.kinds[kind] = (points.kinds[kind] ?? 0) + 1
  return points.at === points.passed || points.at === `${kind}#${points.kinds[kind]}`
}

/**
 * @param {string} kind
 * @param {() => void} [half] does half of what follows
 */
function point(kind, half) {
  if (!points.armed) return
  if (isReached(kind)) die(kind)
  if (half === undefined || !isReached(`${kind}/half`)) return
  half()
  die(`${kind}/half`)
}

/** Puts a point before a method. */
function before(object, name, half, counts = (..._args) => true) {
  const original = object[name]
  if (original === undefined) throw new Error(`points: there is no ${name}`)
  object[name] = function (...args) {
    if (counts(...args)) point(name, half && (() => half.call(this, original, ...args)))
    return original.apply(this, args)
  }
}

const writes = (_path, flags = 'r') => (typeof flags === 'number' ? (flags & 3) !== 0 : flags !== 'r')
const bytesOf = (data) =>
  typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
/** Half of a write to a descriptor. */
const halfOf = (fd, data, offset = 0, length = undefined, position = null) => {
  const bytes = bytesOf(data).subarray(offset, length === undefined || length === null ? undefined : offset + length)
  if (bytes.length > 1) writeSync(fd, bytes, 0, bytes.length >> 1, position)
}

for (const name of ['rename', 'rm', 'unlink', 'mkdir', 'truncate', 'copyFile', 'link', 'symlink', 'rmdir']) {
  before(files, name)
  before(fs, name)
  before(fs, `${name}Sync`)
}
before(files, 'open', undefined, writes)
before(fs, 'open', undefined, writes)
before(fs, 'openSync', undefined, writes)
for (const name of ['writeFile', 'appendFile']) {
  before(files, name)
  before(fs, name)
  before(fs, `${name}Sync`)
}
for (const name of ['fsync', 'fdatasync', 'ftruncate']) {
  before(fs, name)
  before(fs, `${name}Sync`)
}
for (const name of ['write', 'writeSync'])
  before(fs, name, (_, fd, data, ...rest) => halfOf(fd, data, ...rest.filter((value) => typeof value !== 'function')))
before(fs, 'writev')

const handle = await files.open('.', 'r')
const prototype = Object.getPrototypeOf(handle)
await handle.close()
before(
  prototype,
  'write',
  /** @this {import('node:fs/promises').FileHandle} */ function (_, data, ...rest) {
    halfOf(this.fd, data, ...rest)
  },
)
before(
  prototype,
  'writeFile',
  /** @this {import('node:fs/promises').FileHandle} */ function (_, data) {
    halfOf(this.fd, data)
  },
)
for (const name of ['writev', 'appendFile', 'truncate', 'sync', 'datasync']) before(prototype, name)

// What a socket sends passes here, before TLS makes records of it.
before(
  net.Socket.prototype,
  '_writeGeneric',
  /** @this {net.Socket} */ function (original, writev, data, encoding) {
    const bytes = writev
      ? Buffer.concat(
          data.map(({ chunk, encoding: one }) => (typeof chunk === 'string' ? Buffer.from(chunk, one) : chunk)),
        )
      : typeof data === 'string'
        ? Buffer.from(data, encoding)
        : data
    if (bytes.length > 1) original.call(this, false, bytes.subarray(0, bytes.length >> 1), 'buffer', () => {})
  },
)
syncBuiltinESMExports()
