/**
 * JSON as Python reads it: integers of any size, 1.0 apart from 1, and keys in the order in which they are written (a JavaScript object
 * puts keys that look like array indices first).
 */

/** A whole number that was written as a float: 1.0, -0.0, 1e22. Behaves as the number in arithmetic and in JSON.stringify. */
export class Float {
  constructor(readonly value: number) {}

  valueOf(): number {
    return this.value
  }

  toJSON(): number {
    return this.value
  }

  toString(): string {
    return floatText(this.value)
  }
}

/** A float as Python spells it: repr(float). */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const magnitude = Math.abs(value)
  if (magnitude >= 1e-4 && magnitude < 1e16) {
    const text = String(value)
    return text.includes('.') ? text : `${text}.0`
  }
  const [digits, exponent] = value.toExponential().split('e') as [string, string]
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
}

/** The keys of an object in the order of its source, where that is not JavaScript's own. */
const sourceOrder = Symbol('keys in the order of the source')

/** The own enumerable keys of `object` in the order of the JSON text that it came from; keys that joined later are last. */
export function keysInOrder(object: object): string[] {
  const keys = Object.keys(object)
  const order = (object as { [sourceOrder]?: readonly string[] })[sourceOrder]
  if (order === undefined) return keys
  const known = new Set(order)
  return [...order.filter((key) => Object.hasOwn(object, key)), ...keys.filter((key) => !known.has(key))]
}

/**
 * Whether a text may hold what JSON.parse changes: a number of 16 digits or more, with an exponent or a
 * fraction of zeros, or a key of digits.
 * A text inside a string may look like one, which costs time only.
 */
const mayChange = /[[:,]\s*-?\d+(?:\d{15}|\.\d{15}|\.0+(?!\d)|(?:\.\d+)?[eE])|^\s*-?\d|[{,]\s*"\d+"\s*:/

/**
 * Parses JSON. Integers beyond 2^53 become bigints and whole floats {@link Float}s; everything else is what JSON.parse gives.
 *
 * @param depth numbers that lie in fewer objects than this are what JSON.parse gives
 * @throws SyntaxError as JSON.parse does
 */
export function parseExactly(text: string, depth = 0): unknown {
  const plain = JSON.parse(text) as unknown
  if (!mayChange.test(text)) return plain
  const value = new Reader(text, depth).value()
  if (typeof value === 'object' && value !== null) spelled.add(value)
  return value
}

const spelled = new WeakSet<object>()

/** Whether {@link parseExactly} gave `value` and it may differ from what JSON.parse gives, so that {@link stringifyExactly} must write it. */
export function keepsSpelling(value: object): boolean {
  return spelled.has(value)
}

/**
 * JSON that tells apart what Python tells apart: bigints and {@link Float}s as they were written, keys in the order of their source;
 * typed arrays as lists. For all other values it is what JSON.stringify gives.
 */
export function stringifyExactly(value: unknown): string {
  if (typeof value === 'bigint' || value instanceof Float) return String(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(stringifyExactly).join(',')}]`
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    if (value instanceof Int32Array || value instanceof Uint32Array) return `[${value.join(',')}]`
    return `[${Array.from(value as unknown as Iterable<unknown>, stringifyExactly).join(',')}]`
  }
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return stringifyExactly(toJSON.call(value))
  const fields = keysInOrder(value)
    .map((key) => [key, (value as Record<string, unknown>)[key]] as const)
    .filter(([, field]) => field !== undefined && typeof field !== 'function' && typeof field !== 'symbol')
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${stringifyExactly(field)}`).join(',')}}`
}

function toNumber(text: string): unknown {
  const value = Number(text)
  if (/[.eE]/.test(text)) return Number.isInteger(value) ? new Float(value) : value
  return Number.isSafeInteger(value) ? value + 0 : BigInt(text)
}

/** Reads a text that JSON.parse has accepted. */
class Reader {
  readonly #tokens = /[{}[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+/g

  /** Objects around the current token. */
  #within = 0

  constructor(
    readonly text: string,
    readonly depth: number,
  ) {}

  #next(): string {
    return this.#tokens.exec(this.text)![0]
  }

  value(token = this.#next()): unknown {
    switch (token[0]) {
      case '{':
        return this.#object()
      case '[':
        return this.#array()
      case '"':
      case 't':
      case 'f':
      case 'n':
        return JSON.parse(token)
      default:
        return this.#within < this.depth ? Number(token) : toNumber(token)
    }
  }

  #array(): unknown[] {
    const items: unknown[] = []
    let token = this.#next()
    while (token !== ']') {
      items.push(this.value(token))
      token = this.#next()
      if (token === ',') token = this.#next()
    }
    return items
  }

  #object(): object {
    const object: Record<string, unknown> = {}
    const order: string[] = []
    ++this.#within
    let token = this.#next()
    while (token !== '}') {
      const key = JSON.parse(token) as string
      this.#next()
      const value = this.value()
      if (!Object.hasOwn(object, key)) order.push(key)
      if (key === '__proto__') {
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
      } else object[key] = value
      token = this.#next()
      if (token === ',') token = this.#next()
    }
    --this.#within
    // Enumerable, so that `{ ...object }` keeps it.
    if (Object.keys(object).some((key, i) => key !== order[i])) {
      Object.defineProperty(object, sourceOrder, { value: order, enumerable: true, writable: true, configurable: true })
    }
    return object
  }
}
