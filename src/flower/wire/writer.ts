/** Writes the protobuf wire format (https://protobuf.dev/programming-guides/encoding). */
import type { WireType } from './reader.js'

const utf8 = new TextEncoder()

export class Writer {
  readonly #parts: Uint8Array[] = []

  tag(number: number, type: WireType): void {
    this.varint((BigInt(number) << 3n) | BigInt(type))
  }

  /** @param value - 0 to 2^64 − 1. */
  varint(value: bigint): void {
    const bytes: number[] = []
    for (let rest = value; ; rest >>= 7n) {
      if (rest < 0x80n) {
        bytes.push(Number(rest))
        break
      }
      bytes.push(Number(rest & 0x7fn) | 0x80)
    }
    this.#parts.push(Uint8Array.from(bytes))
  }

  double(value: number): void {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, value, true)
    this.#parts.push(bytes)
  }

  bytes(value: Uint8Array): void {
    this.varint(BigInt(value.length))
    this.#parts.push(value)
  }

  text(value: string): void {
    this.bytes(utf8.encode(value))
  }

  /** What was written. */
  finish(): Uint8Array {
    return Buffer.concat(this.#parts)
  }
}
