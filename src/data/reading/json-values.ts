/** Finds the values in JSON bytes that arrive in pieces, without keeping more than one value: of an array, or one after the other. */

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const open = { array: 0x5b, object: 0x7b }
const close = { array: 0x5d, object: 0x7d }

const isSpace = (byte: number) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** Why the bytes are no JSON array and no sequence of values. */
export class JsonStructureError extends Error {}

type State = 'start' | 'first' | 'value' | 'after' | 'next' | 'end'

/**
 * Cuts bytes into values. The top level is an array of values, or (`inArray` false) values that follow one another.
 * What lies inside a value is not checked; that its brackets are paired is.
 */
export class JsonValues {
  inArray = false
  #state: State = 'start'
  /** Inside a value: open brackets, in a text, after a backslash. */
  #depth = 0
  #text = false
  #escaped = false
  #scalar = false
  #held: Buffer[] = []
  #heldBytes = 0

  /** Bytes of the value that has begun and not ended. */
  get pending(): number {
    return this.#heldBytes
  }

  /** The bytes of the value that has begun, as far as they came. */
  pendingBytes(most: number): Buffer {
    return Buffer.concat(this.#held).subarray(0, most)
  }

  /** The values that end in `piece`. @throws JsonStructureError */
  *push(piece: Buffer): Generator<Buffer> {
    let begin = this.#state === 'value' ? 0 : -1
    let at = 0
    while (at < piece.length) {
      if (this.#state !== 'value') {
        const byte = piece[at]!
        if (isSpace(byte)) ++at
        else if (this.#between(byte)) ++at
        else begin = at
        continue
      }
      const end = this.#endOfValue(piece, at)
      if (end < 0) break
      const last = piece.subarray(begin, end)
      yield this.#held.length === 0 ? last : Buffer.concat([...this.#held, last])
      this.#held = []
      this.#heldBytes = 0
      this.#state = 'after'
      begin = -1
      at = end
    }
    if (begin < 0) return
    this.#held.push(Buffer.from(piece.subarray(begin)))
    this.#heldBytes += piece.length - begin
  }

  /** Takes a byte between values; false when a value begins with it. */
  #between(byte: number): boolean {
    const begins = () => {
      if (byte === comma || byte === close.array || byte === close.object) this.#refuse(byte, 'a value')
      this.#state = 'value'
      this.#depth = 0
      this.#text = false
      this.#escaped = false
      this.#scalar = byte !== open.array && byte !== open.object && byte !== quote
      return false
    }
    switch (this.#state) {
      case 'start':
        if (byte !== open.array) return begins()
        this.inArray = true
        this.#state = 'first'
        return true
      case 'first':
        if (byte !== close.array) return begins()
        this.#state = 'end'
        return true
      case 'next':
        return begins()
      case 'after':
        if (!this.inArray) return begins()
        if (byte !== comma && byte !== close.array) this.#refuse(byte, 'a comma or ]')
        this.#state = byte === comma ? 'next' : 'end'
        return true
      default:
        return this.#refuse(byte, 'nothing after the array')
    }
  }

  #refuse(byte: number, expected: string): never {
    throw new JsonStructureError(`expected ${expected}, found ${JSON.stringify(String.fromCharCode(byte))}`)
  }

  /** Where the value ends, or −1: after this piece. */
  #endOfValue(piece: Buffer, from: number): number {
    let depth = this.#depth
    let text = this.#text
    let escaped = this.#escaped
    for (let at = from; at < piece.length; ++at) {
      const byte = piece[at]!
      if (text) {
        if (escaped) escaped = false
        else if (byte === backslash) escaped = true
        else if (byte === quote) {
          text = false
          if (depth === 0) return at + 1
        }
        continue
      }
      if (byte === quote) {
        text = true
      } else if (byte === open.object || byte === open.array) {
        ++depth
      } else if (byte === close.object || byte === close.array) {
        if (depth === 0) return at // the array's own bracket ends a number or a word
        if (--depth === 0) return at + 1
      } else if (this.#scalar && depth === 0 && (byte === comma || isSpace(byte))) {
        return at
      }
    }
    this.#depth = depth
    this.#text = text
    this.#escaped = escaped
    return -1
  }

  /** The last value, when it ends with the bytes. @throws JsonStructureError when the bytes end too early. */
  finish(): Buffer | undefined {
    if (this.#state === 'value' && !this.inArray && this.#scalar) return Buffer.concat(this.#held)
    if (this.#state === 'value') throw new JsonStructureError('it ends within a value')
    if (this.#state === 'first' || this.#state === 'next' || (this.inArray && this.#state === 'after'))
      throw new JsonStructureError('it ends before the array does')
    return undefined
  }
}
