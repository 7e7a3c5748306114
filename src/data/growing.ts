/** Typed arrays that grow at their end, so that a million entries cost bytes and not objects. */

type Typed = Float64Array | Int32Array | Uint32Array | Uint8Array

/** Doubles its room when it is full. */
export class Growing<A extends Typed> {
  readonly #make: (length: number) => A
  #array: A
  #length = 0

  /** @param make - makes an array of zeros. */
  constructor(make: (length: number) => A, room = 1024) {
    this.#make = make
    this.#array = make(room)
  }

  get length(): number {
    return this.#length
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#array.length) return
    const larger = this.#make(Math.max(needed, 2 * this.#array.length))
    larger.set(this.#array)
    this.#array = larger
  }

  push(value: number): void {
    this.#reserve(1)
    this.#array[this.#length++] = value
  }

  append(values: ArrayLike<number>): void {
    this.#reserve(values.length)
    this.#array.set(values, this.#length)
    this.#length += values.length
  }

  set(index: number, value: number): void {
    this.#array[index] = value
  }

  at(index: number): number {
    return this.#array[index]!
  }

  /** A view of what is there; it ends to be one with the next {@link push}. */
  view(): A {
    return this.#array.subarray(0, this.#length) as A
  }

  /** What is there in an array of its own, without spare room. */
  finish(): A {
    return this.#array.slice(0, this.#length) as A
  }

  clear(): void {
    this.#length = 0
  }
}

export const growingFloat64 = () => new Growing((length) => new Float64Array(length))
export const growingInt32 = () => new Growing((length) => new Int32Array(length))
export const growingUint32 = () => new Growing((length) => new Uint32Array(length))
export const growingUint8 = () => new Growing((length) => new Uint8Array(length))
