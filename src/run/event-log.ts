/** `events.ndjson`: one JSON object a line, appended as the run goes. Line counts, not bytes, tell where a checkpoint stands. */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ioError, writeTextFile } from '../files/atomic.js'

const fileName = 'events.ndjson'

/** The complete, well-formed lines at the beginning of a log; a torn line and all that follows it do not count. */
export async function readLines(folder: string): Promise<string[]> {
  const path = join(folder, fileName)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw ioError(error, `cannot read '${path}'`)
  }
  const lines = text.split('\n')
  lines.pop() // what follows the last newline is torn, or empty
  const torn = lines.findIndex((line) => {
    try {
      JSON.parse(line)
      return false
    } catch {
      return true
    }
  })
  return torn < 0 ? lines : lines.slice(0, torn)
}

export class EventLog {
  readonly #handle: FileHandle
  readonly path: string
  #lines: number
  #bytes: number

  private constructor(handle: FileHandle, path: string, lines: number, bytes: number) {
    this.#handle = handle
    this.path = path
    this.#lines = lines
    this.#bytes = bytes
  }

  /** Opens the log of a run folder so that it holds exactly `lines` and goes on after them. */
  static async open(folder: string, lines: readonly string[]): Promise<EventLog> {
    const path = join(folder, fileName)
    const text = lines.map((line) => `${line}\n`).join('')
    await writeTextFile(path, text)
    try {
      return new EventLog(await open(path, 'a'), path, lines.length, Buffer.byteLength(text))
    } catch (error) {
      throw ioError(error, `cannot open '${path}'`)
    }
  }

  /** Lines written so far. */
  get lines(): number {
    return this.#lines
  }

  /** Bytes of those lines. */
  get bytes(): number {
    return this.#bytes
  }

  /** Appends an event, with the time it happened. */
  async append(event: object): Promise<void> {
    const line = Buffer.from(`${JSON.stringify({ ...event, time: new Date().toISOString() })}\n`)
    try {
      await this.#handle.appendFile(line)
      this.#lines++
      this.#bytes += line.length
    } catch (error) {
      await this.#handle.truncate(this.#bytes).catch(() => {}) // no torn line before a later one
      throw ioError(error, `cannot write '${this.path}'`)
    }
  }

  /** Flushes to the device. */
  async sync(): Promise<void> {
    try {
      await this.#handle.sync()
    } catch (error) {
      throw ioError(error, `cannot write '${this.path}'`)
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}
