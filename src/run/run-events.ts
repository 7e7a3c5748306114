/**
 * The events of a run, for any number of readers who come and go. The newest are kept in memory; older ones are read again from the
 * run's log (NDJSON), so that a reader may start late or be slow and memory stays bounded.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { ioError } from '../files/atomic.js'

/** Events kept in memory, at most twice as many. */
const keptEvents = 16_384
const chunkBytes = 65_536

interface Entry<E> {
  event: E
  /** Bytes of the log up to the end of this event's line; undefined for an event that is not logged. */
  end: number | undefined
}

/** Told to a reader in the place of events that are kept nowhere: it was too late, or too slow, for a run without a folder. */
export interface GapEvent {
  type: 'gap'
  /** Events that this reader misses. */
  missed: number
}

export class RunEvents<E> {
  readonly #kept: number
  #entries: Entry<E>[] = []
  /** Number of the first entry in memory, counted from the beginning of the run. */
  #first = 0
  #log: { path: string; start: number } | undefined
  /** Where the line of the last forgotten event ends. */
  #forgottenEnd = 0
  readonly #waiting = new Set<() => void>()
  ended = false

  constructor(kept = keptEvents) {
    this.#kept = kept
  }

  /** From now on events are also lines of a log, the first of which begins at byte `start`. */
  logTo(path: string, start: number): void {
    this.#log = { path, start }
  }

  add(event: E, end?: number): void {
    this.#entries.push({ event, end })
    if (this.#entries.length >= 2 * this.#kept) {
      const forgotten = this.#entries.splice(0, this.#kept)
      this.#first += forgotten.length
      this.#forgottenEnd = forgotten.findLast((entry) => entry.end !== undefined)?.end ?? this.#forgottenEnd
    }
    this.#wake()
  }

  end(): void {
    this.ended = true
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  /** Waits for the next event, the end, or `cancel`, which gets the function that ends the waiting. */
  async wait(onWait: (cancel: () => void) => void): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve)
      onWait(() => {
        this.#waiting.delete(resolve)
        resolve()
      })
    })
  }

  /** A place among the events: at their beginning, or behind the newest. */
  cursor(replay: boolean): Cursor<E> {
    return new Cursor(this, replay ? 0 : this.#first + this.#entries.length)
  }

  /** @internal What a cursor at number `next` reads: an entry, a part of the log from byte `offset`, or nothing yet. */
  at(
    next: number,
    offset: number | undefined,
  ): Entry<E> | { log: string; from: number; to: number } | number | undefined {
    if (next >= this.#first) return this.#entries[next - this.#first]
    const from = offset ?? this.#log?.start ?? 0
    if (this.#log !== undefined && from < this.#forgottenEnd)
      return { log: this.#log.path, from, to: this.#forgottenEnd }
    return this.#first
  }
}

/** Complete lines of a log between two bytes, a chunk's worth; at least one line. */
async function readEvents<E>(path: string, from: number, to: number): Promise<{ events: E[]; end: number }> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    for (let size = chunkBytes; ; size *= 2) {
      const wanted = Math.min(size, to - from)
      const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted), 0, wanted, from)
      const last = buffer.subarray(0, bytesRead).lastIndexOf(10)
      if (last < 0 && wanted < to - from) continue
      const lines = buffer
        .toString('utf8', 0, last + 1)
        .split('\n')
        .slice(0, -1)
      const events = lines.map((line) => {
        const { time: _, ...event } = JSON.parse(line)
        return event as E
      })
      return { events, end: last < 0 ? to : from + last + 1 }
    }
  } catch (error) {
    throw ioError(error, `cannot read '${path}'`)
  } finally {
    await file?.close()
  }
}

/** One reader's place. */
export class Cursor<E> {
  readonly #events: RunEvents<E>
  #next: number
  #offset: number | undefined
  #fromLog: E[] = []
  #fellBehind = false
  #cancel: (() => void) | undefined
  #closed = false

  constructor(events: RunEvents<E>, next: number) {
    this.#events = events
    this.#next = next
  }

  /** The next event, or undefined when the run has ended and all were read, or after `close`. */
  async take(): Promise<{ event: E } | undefined> {
    while (!this.#closed) {
      if (this.#fromLog.length > 0) return { event: this.#fromLog.shift()! }
      const found = this.#events.at(this.#next, this.#offset)
      if (found === undefined) {
        if (this.#events.ended) return undefined
        await this.#events.wait((cancel) => {
          this.#cancel = cancel
        })
      } else if (typeof found === 'number') {
        const missed = found - this.#next
        this.#next = found
        if (!this.#fellBehind) return { event: { type: 'gap', missed } as E }
        this.#fellBehind = false
      } else if ('log' in found) {
        const { events, end } = await readEvents<E>(found.log, found.from, found.to)
        this.#fromLog = events
        this.#offset = end
        this.#fellBehind = true
      } else {
        this.#next++
        this.#offset = found.end ?? this.#offset
        return { event: found.event }
      }
    }
    return undefined
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
  }
}
