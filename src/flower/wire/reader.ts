/** Reads the protobuf wire format (https://protobuf.dev/programming-guides/encoding): what a message holds, field by field. */
import { FedloraError } from '../../errors.js'

/** Kinds of values on the wire. 3 and 4 are groups, which no message here has. */
export const wireTypes = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const

export type WireType = (typeof wireTypes)[keyof typeof wireTypes]

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Messages inside messages, at most: an object tree is five deep. */
const deepest = 32

/** @throws FedloraError `E_PROTOCOL` for bytes that are no such message, by every method. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  readonly #depth: number
  #at = 0

  /** @param what - the message, for errors. */
  constructor(bytes: Uint8Array, what: string, depth = 0) {
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) // a Buffer gives Buffers
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
    this.#depth = depth
    if (depth > deepest) this.fail(`messages lie more than ${deepest} deep`)
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  fail(why: string): never {
    const message = `flower: ${this.#what}: ${why} (byte ${this.#at} of ${this.#bytes.length}); is the other side a Flower server?`
    throw new FedloraError('E_PROTOCOL', message, { message: this.#what, byte: this.#at })
  }

  /** Number and kind of the next field. */
  tag(): { number: number; type: WireType } {
    const tag = this.varint()
    const number = Number(tag >> 3n)
    const type = Number(tag & 7n)
    if (number < 1 || number > 0x1fffffff) this.fail(`field number ${number}`)
    if (type !== 0 && type !== 1 && type !== 2 && type !== 5) this.fail(`wire type ${type} of field ${number}`)
    return { number, type: type as WireType }
  }

  /** Seven bits a byte, lowest first: 0 to 2^64 − 1. */
  varint(): bigint {
    let value = 0
    // Four bytes fit into a number, and most values into four bytes.
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return BigInt(value)
    }
    let large = BigInt(value)
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      large |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return large < 1n << 64n ? large : this.fail('an integer of more than 64 bits')
    }
    return this.fail('an integer of more than ten bytes')
  }

  double(): number {
    const at = this.#skip(8)
    return this.#view.getFloat64(at, true)
  }

  /** A view of the bytes of a field with a length. */
  bytes(): Uint8Array {
    const length = this.varint()
    const at = this.#skip(length > BigInt(this.#bytes.length) ? Number.POSITIVE_INFINITY : Number(length))
    return this.#bytes.subarray(at, this.#at)
  }

  text(): string {
    const bytes = this.bytes()
    try {
      return utf8.decode(bytes)
    } catch {
      return this.fail('a text that is not UTF-8')
    }
  }

  /** A reader of the message inside. */
  message(): Reader {
    return new Reader(this.bytes(), this.#what, this.#depth + 1)
  }

  /** Passes over the value of a field that the reader does not know. */
  pass(type: WireType): void {
    if (type === wireTypes.varint) this.varint()
    else if (type === wireTypes.length) this.bytes()
    else this.#skip(type === wireTypes.fixed64 ? 8 : 4)
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!
  }

  /** Where the next `count` bytes begin. */
  #skip(count: number): number {
    const at = this.#at
    if (count > this.#bytes.length - at) this.fail(`${count} bytes are missing`)
    this.#at = at + count
    return at
  }
}
