/**
 * `events.ndjson`: one JSON object a line, each with its `time`, appended as the run goes. The first line says what the others are:
 * `{ type: 'log', version, kind }`. Bytes tell where a checkpoint stands: a run that goes on cuts the log there, so that nothing is told
 * twice and a torn last line disappears.
 */
import { copyFile, type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../errors.js'
import { exists, ioError } from '../files/atomic.js'

/** Of the lines: raised when a field changes its meaning. */
const logVersion = 1

const fileName = 'events.ndjson'
/** More than a first line has. */
const headBytes = 256

/** True when the log in `folder` holds whole lines up to byte `bytes`. */
export async function logReaches(folder: string, bytes: number): Promise<boolean> {
  const path = join(folder, fileName)
  if (bytes === 0 || !(await exists(path))) return bytes === 0
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, bytes - 1)
    return bytesRead === 1 && buffer[0] === 10
  } catch (error) {
    throw ioError(error, `cannot read '${path}'`)
  } finally {
    await file.close()
  }
}

export class EventLog<E extends object> {
  readonly path: string
  readonly #file: FileHandle
  #bytes: number
  /** Lines that a failed write left: they come before the next ones, and before a checkpoint that counts them. */
  #unwritten = Buffer.alloc(0)

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.path = path
    this.#file = file
    this.#bytes = bytes
  }

  /** An empty log in `folder`; one that lies there is emptied. */
  static async begin<E extends object>(folder: string, kind: string): Promise<EventLog<E>> {
    const log = await EventLog.#open<E>(join(folder, fileName), 'w+', 0)
    await log.#line({ type: 'log', version: logVersion, kind })
    return log
  }

  /**
   * The log in `folder` up to byte `bytes`, to be gone on with.
   * @param from - the run folder whose log it continues; another one's is copied.
   * @throws FedloraError `E_VERSION` when another release wrote it in other words; `E_FORMAT`, `E_IO`.
   */
  static async resume<E extends object>(folder: string, bytes: number, from: string): Promise<EventLog<E>> {
    const path = join(folder, fileName)
    if (from !== folder) {
      await copyFile(join(from, fileName), path).catch((error: unknown) => {
        throw ioError(error, `cannot write '${path}'`)
      })
    }
    const log = await EventLog.#open<E>(path, 'r+', bytes)
    try {
      await log.#checkHead()
      await log.#file.truncate(bytes)
      return log
    } catch (error) {
      await log.close()
      throw ioError(error, `cannot go on with '${path}'`)
    }
  }

  static async #open<E extends object>(path: string, flags: string, bytes: number): Promise<EventLog<E>> {
    try {
      return new EventLog<E>(path, await open(path, flags), bytes)
    } catch (error) {
      throw ioError(error, `cannot open '${path}'`)
    }
  }

  async #checkHead(): Promise<void> {
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(headBytes), 0, headBytes, 0)
    const [line] = buffer.toString('utf8', 0, bytesRead).split('\n')
    let head: { type?: unknown; version?: unknown }
    try {
      head = Object(JSON.parse(line!))
    } catch {
      head = {}
    }
    if (head.type === 'log' && head.version === logVersion) return
    const version = head.type === 'log' ? head.version : 'none'
    throw new FedloraError(
      'E_VERSION',
      `'${this.path}': version ${version} of the event log, expected ${logVersion}; resume with the release that wrote it, or start a new run`,
      { path: this.path, version, expected: logVersion },
    )
  }

  /** Bytes of the lines written so far. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Appends an event, with the time it happened; durable after `sync`.
   * @throws FedloraError `E_IO`; the line is not lost: the next write begins with what is left of it.
   */
  async append(event: E): Promise<void> {
    await this.#line(event)
  }

  async #line(event: object): Promise<void> {
    const line = Buffer.from(`${JSON.stringify({ ...event, time: new Date().toISOString() })}\n`)
    this.#unwritten = Buffer.concat([this.#unwritten, line])
    await this.#flush()
  }

  async #flush(): Promise<void> {
    try {
      while (this.#unwritten.length > 0) {
        const { bytesWritten } = await this.#file.write(this.#unwritten, 0, this.#unwritten.length, this.#bytes)
        this.#bytes += bytesWritten
        this.#unwritten = this.#unwritten.subarray(bytesWritten)
      }
    } catch (error) {
      throw ioError(error, `cannot write '${this.path}'`)
    }
  }

  /** Flushes to the device. */
  async sync(): Promise<void> {
    await this.#flush()
    try {
      await this.#file.sync()
    } catch (error) {
      throw ioError(error, `cannot write '${this.path}'`)
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
