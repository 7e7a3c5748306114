/**
 * The decoded updates of one round, for rules that need all of them: read by ranges, so that a rule works tile by tile with memory n·tile,
 * or module by module, and never holds n·length values. They lie in one file without a name: nothing is left of it, whatever ends the run.
 */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { ioError } from '../files/atomic.js'
import { type OpenFile, scratchFile } from '../files/open-file.js'
import type { Vector } from './vectors.js'

/** Updates by id, in the order in which they came. */
export interface UpdateSet<V extends Vector = Float32Array> {
  readonly ids: readonly string[]
  /** Values of an update; clients may have lengths of their own. @throws FedloraError `E_ARGUMENT` for an unknown id. */
  lengthOf(id: string): number
  /**
   * Elements [begin, end) of an update.
   * @param into - takes them, from its beginning; default: a new array.
   * @throws FedloraError `E_ARGUMENT` for an unknown id, a range beyond the update or an `into` too short; `E_IO`.
   */
  read(id: string, begin: number, end: number, into?: V): V
}

function place<P>(places: ReadonlyMap<string, P>, id: string): P {
  const found = places.get(id)
  if (found !== undefined) return found
  throw new FedloraError('E_ARGUMENT', `updates: got the id ${describeValue(id)}, known are ${[...places.keys()]}`, {
    id,
  })
}

function checkRange(id: string, begin: number, end: number, length: number, into: Vector | undefined): void {
  const whole = Number.isSafeInteger(begin) && Number.isSafeInteger(end)
  if (!(whole && begin >= 0 && begin <= end && end <= length)) {
    const message = `updates: got the range [${begin}, ${end}) of '${id}', which has ${length} values`
    throw new FedloraError('E_ARGUMENT', message, { id, begin, end, length })
  }
  if (into === undefined || into.length >= end - begin) return
  const message = `updates: got an array of ${into.length} for ${end - begin} values of '${id}'`
  throw new FedloraError('E_ARGUMENT', message, { id, got: into.length, expected: end - begin })
}

/** Vectors that are in memory anyway, as a set: their ids are 0, 1, 2, … */
export function updatesOf<V extends Vector>(vectors: readonly V[]): UpdateSet<V> {
  const places = new Map(vectors.map((vector, k) => [`${k}`, vector]))
  return {
    ids: [...places.keys()],
    lengthOf: (id) => place(places, id).length,
    read(id, begin, end, into) {
      const vector = place(places, id)
      checkRange(id, begin, end, vector.length, into)
      if (into === undefined) return vector.slice(begin, end) as V
      into.set(vector.subarray(begin, end))
      return into
    },
  }
}

/** Updates in a file of their own, for one round after the other. Reading blocks for as long as the system needs for the range. */
export class UpdateFile implements UpdateSet {
  readonly #file: OpenFile
  readonly #places = new Map<string, { position: number; length: number }>()
  readonly #writing = new Set<string>()
  #end = 0
  #disposed = false
  #closed = false

  private constructor(file: OpenFile) {
    this.#file = file
  }

  /**
   * @param folders - the first that can be written takes the file; at last the system's for temporary files.
   * @throws FedloraError `E_IO`.
   */
  static async create(folders: readonly string[] = []): Promise<UpdateFile> {
    return new UpdateFile(await scratchFile(folders))
  }

  get ids(): readonly string[] {
    return [...this.#places.keys()]
  }

  lengthOf(id: string): number {
    return place(this.#places, id).length
  }

  /**
   * Keeps an update, which must not change meanwhile; several may be written at the same time. One that fails is not in the set.
   * @throws FedloraError `E_ARGUMENT` when the id is taken or the value is no Float32Array, `E_IO` such as a full disk, `E_DISPOSED`.
   */
  async add(id: string, vector: Float32Array): Promise<void> {
    this.#alive()
    if (!(vector instanceof Float32Array)) {
      throw new FedloraError('E_ARGUMENT', `update '${id}': got ${describeValue(vector)}, expected a Float32Array`)
    }
    if (this.#places.has(id) || this.#writing.has(id))
      throw new FedloraError('E_ARGUMENT', `updates: '${id}' is there already`, { id })
    const at = { position: this.#end, length: vector.length }
    const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)
    this.#end += bytes.length
    this.#writing.add(id)
    try {
      await this.#file.write(bytes, at.position)
      this.#places.set(id, at)
    } catch (error) {
      throw ioError(error, `cannot keep the update '${id}' in '${this.#file.path}'`)
    } finally {
      this.#writing.delete(id)
      this.#release()
    }
  }

  read(id: string, begin: number, end: number, into?: Float32Array): Float32Array {
    this.#alive()
    const { position, length } = place(this.#places, id)
    checkRange(id, begin, end, length, into)
    const values = into ?? new Float32Array(end - begin)
    this.#file.read(new Uint8Array(values.buffer, values.byteOffset, 4 * (end - begin)), position + 4 * begin)
    return values
  }

  /**
   * Forgets all updates; the next ones are written over them.
   * @throws FedloraError `E_BUSY` while one is being written.
   */
  reset(): void {
    if (this.#writing.size > 0) {
      throw new FedloraError('E_BUSY', `updates: ${[...this.#writing]} are being written; wait for them`)
    }
    this.#places.clear()
    this.#end = 0
  }

  /** Idempotent. The bytes go with it, when what is being written has ended. */
  dispose(): void {
    this.#disposed = true
    this.#release()
  }

  #release(): void {
    if (!this.#disposed || this.#closed || this.#writing.size > 0) return
    this.#closed = true
    this.#file.close()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #alive(): void {
    if (this.#disposed) throw new FedloraError('E_DISPOSED', 'the updates of this round were disposed')
  }
}
