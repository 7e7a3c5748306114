/** Where the 32-bit words of a token table lie: in memory while they are few, then in a file, read by position. */
import type { OpenFile } from '../../files/open-file.js'
import { growingInt32 } from '../growing.js'

export interface Words {
  /** The words from `begin` to before `end`. */
  read(begin: number, end: number): Int32Array
}

/** Words in a file, from byte `offset` on. */
export class FileWords implements Words {
  readonly #file: OpenFile
  readonly #offset: number

  constructor(file: OpenFile, offset: number) {
    this.#file = file
    this.#offset = offset
  }

  read(begin: number, end: number): Int32Array {
    const words = new Int32Array(end - begin)
    this.#file.read(new Uint8Array(words.buffer), this.#offset + 4 * begin)
    return words
  }
}

/** Words written at once: 1 MiB. */
const pageWords = 2 ** 18
/** Words kept in memory before a file is asked for: 16 MiB. */
const memoryPages = 16

interface Page {
  begin: number
  words: Int32Array
}

/**
 * Words that are written from first to last. Pages are moved to a file once there are many; when that cannot be written (a full disk)
 * the pages stay in memory.
 */
export class WordWriter implements Words {
  readonly #current = growingInt32()
  /** Words before the current page. */
  #closed = 0
  /** Pages in memory; they follow the words in the file. */
  #pages: Page[] = []
  readonly #open: () => Promise<OpenFile>
  readonly #offset: number
  readonly #onPage: (bytes: Uint8Array) => void
  #file: OpenFile | undefined
  #filed = 0
  #failure: unknown

  /**
   * @param open - opens the file, once, when it is needed.
   * @param offset - bytes of the file before the first word.
   * @param onPage - sees every page that is written to the file, in order.
   */
  constructor(open: () => Promise<OpenFile>, offset: number, onPage: (bytes: Uint8Array) => void) {
    this.#open = open
    this.#offset = offset
    this.#onPage = onPage
  }

  get length(): number {
    return this.#closed + this.#current.length
  }

  append(words: Int32Array): void {
    this.#current.append(words)
  }

  /** Closes a full page, and writes pages away when there are many. To be called between records. */
  async settle(): Promise<void> {
    if (this.#current.length < pageWords) return
    this.#close()
    if (this.#pages.length >= memoryPages || this.#file !== undefined) await this.#write()
  }

  #close(): void {
    if (this.#current.length === 0) return
    this.#pages.push({ begin: this.#closed, words: this.#current.finish() })
    this.#closed += this.#current.length
    this.#current.clear()
  }

  async #write(): Promise<void> {
    if (this.#failure !== undefined) return
    try {
      this.#file ??= await this.#open()
      while (this.#pages.length > 0) {
        const { words } = this.#pages[0]!
        const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
        await this.#file.write(bytes, this.#offset + 4 * this.#filed)
        this.#onPage(bytes)
        this.#filed += words.length
        this.#pages.shift()
      }
    } catch (error) {
      this.#failure = error
    }
  }

  /** Ends the writing. With `toFile` every word is in the file afterwards, unless there was a `failure`. */
  async finish(toFile: boolean): Promise<{ file: OpenFile | undefined; failure: unknown }> {
    this.#close()
    if (toFile || this.#file !== undefined) await this.#write()
    return { file: this.#file, failure: this.#failure }
  }

  read(begin: number, end: number): Int32Array {
    if (begin < this.#filed) return new FileWords(this.#file!, this.#offset).read(begin, end)
    let low = 0
    let high = this.#pages.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#pages[middle]!.begin <= begin) low = middle
      else high = middle - 1
    }
    const page = this.#pages[low]!
    return page.words.subarray(begin - page.begin, end - page.begin)
  }
}
