/**
 * A journal in a folder of this machine: segments of frames (segment.ts, frame.ts), one process at a time. An append is acknowledged when it
 * is flushed to the device; appends that come while one is being flushed share the next flush.
 */
import { randomBytes } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import { diskError } from '../../files/disk.js'
import { type Lock, lockFolder } from '../../files/lock.js'
import { checkPath } from '../../files/path.js'
import { encodeFrame, maximumBody, recordsText } from './frame.js'
import type { Journal, JournalEntry, Torn } from './journal.js'
import { pack } from './packed.js'
import { corrupt, readSegment, segmentsAmong } from './segment.js'
import { SegmentWriter } from './segment-writer.js'

/** A file and the longest frame behind it are read at once. */
const mostSegmentBytes = 1 << 27

export interface FileJournalOptions {
  /** Whose journal it is, 32 hexadecimal digits: another one's is refused. Default: whoever's it is; a new one gets 16 random bytes. */
  run?: string
  /** Bytes from which on a segment is closed and packed. Default 8 MiB. */
  segmentBytes?: number
}

interface Waiting {
  readonly text: string
  readonly last: number
  readonly resolve: (sequence: number) => void
  readonly reject: (error: unknown) => void
}

/**
 * Opens the journal of a folder, or begins one. A torn end is cut off: nothing in it had been acknowledged.
 *
 * ```ts
 * const journal = await openFileJournal<{ joined: string }>('server/journal')
 * await journal.append([{ joined: 'north' }], 0)
 * for await (const { sequence, record } of journal.read()) console.log(sequence, record.joined)
 * await journal.close()
 * ```
 *
 * @throws FedloraError `E_LOCKED` while another process has it, `E_JOURNAL_CORRUPT`, `E_VERSION`, `E_FORMAT` for another run's, `E_DISK_FULL`, `E_IO`.
 */
export async function openFileJournal<Record>(
  folder: string,
  options: FileJournalOptions = {},
): Promise<FileJournal<Record>> {
  checkPath(folder, 'the folder of a journal')
  const run = options.run ?? randomBytes(16).toString('hex')
  if (!/^[0-9a-f]{32}$/.test(run)) {
    throw new FedloraError('E_ARGUMENT', `run: got ${describeValue(run)}, expected 32 hexadecimal digits`, { run })
  }
  const { segmentBytes = 1 << 23 } = options
  if (!(Number.isSafeInteger(segmentBytes) && segmentBytes >= 1 && segmentBytes <= mostSegmentBytes)) {
    const message = `segmentBytes: got ${describeValue(segmentBytes)}, expected an integer from 1 to ${mostSegmentBytes}`
    throw new FedloraError('E_ARGUMENT', message, { segmentBytes })
  }
  const lock = await lockFolder(folder)
  try {
    const names = await readdir(folder)
    for (const name of names) if (/^\.journal-.*\.tmp$/.test(name)) await rm(join(folder, name)) // of a process that was killed
    const last = segmentsAmong(names).at(-1)
    if (last === undefined) {
      return new FileJournal(
        folder,
        lock,
        await SegmentWriter.create(folder, { run, first: 1, chain: 0 }),
        undefined,
        segmentBytes,
      )
    }
    const segment = await readSegment(join(folder, last), true)
    if (options.run !== undefined && segment.head.run !== options.run) {
      const message = `'${folder}' is the journal of run ${segment.head.run}, expected ${options.run}; choose another folder`
      throw new FedloraError('E_FORMAT', message, { folder, run: segment.head.run, expected: options.run })
    }
    const writer = await SegmentWriter.reopen(join(folder, last), segment)
    const torn = segment.torn === 0 ? undefined : { file: join(folder, last), byte: segment.bytes, bytes: segment.torn }
    return new FileJournal(folder, lock, writer, torn, segmentBytes)
  } catch (error) {
    lock.release()
    throw diskError(error, `cannot open the journal '${folder}'`)
  }
}

class FileJournal<Record> implements Journal<Record> {
  readonly #queue: Waiting[] = []
  #writer: SegmentWriter
  /** Sequence of the last record, those that wait for their flush included. */
  #planned: number
  #flushing: Promise<void> | undefined
  #packing: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(
    readonly folder: string,
    private readonly lock: Lock,
    writer: SegmentWriter,
    readonly torn: Torn | undefined,
    private readonly segmentBytes: number,
  ) {
    this.#writer = writer
    this.#planned = writer.end.sequence
  }

  get run(): string {
    return this.#writer.head.run
  }

  async *read(): AsyncIterable<JournalEntry<Record>> {
    await this.#packing
    const { head, end } = this.#writer
    let sequence = 0
    let chain = 0
    for (const name of segmentsAmong(await this.#names())) {
      const path = join(this.folder, name)
      const segment = await readSegment(path, false, path === this.#writer.path ? end.bytes : undefined)
      const { first } = segment.head
      if (first !== sequence + 1)
        throw corrupt(path, 0, `begins with record ${first}, expected ${sequence + 1}: a file is missing`)
      if (segment.head.chain !== chain || segment.head.run !== head.run)
        throw corrupt(path, 0, 'it does not follow the file before')
      for (const record of segment.records) yield { sequence: ++sequence, record: record as Record }
      chain = segment.checksum
      if (first === head.first) return
    }
    throw corrupt(this.#writer.path, 0, 'it is not there any more')
  }

  async append(records: readonly Record[], after: number): Promise<number> {
    this.#checkOpen()
    const text = recordsText(records)
    const bytes = Buffer.byteLength(text) + 2
    if (bytes > maximumBody) {
      throw new FedloraError(
        'E_TOO_LARGE',
        `records of ${bytes} bytes are appended to '${this.folder}', expected at most ${maximumBody}`,
        { bytes },
      )
    }
    if (after !== this.#planned) {
      const message = `'${this.folder}': records are appended after ${after}, but ${this.#planned} is the last: another writer was here; start again from the journal`
      throw new FedloraError('E_JOURNAL_FENCED', message, { after, last: this.#planned })
    }
    if (records.length === 0) return after
    this.#planned += records.length
    const last = this.#planned
    const done = new Promise<number>((resolve, reject) => this.#queue.push({ text, last, resolve, reject }))
    this.#flushing ??= this.#flush()
    return done
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#flushing
    await this.#packing
    await this.#writer.close()
    this.lock.release()
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      await undefined // who appends in the same turn shares the flush
      const group = this.#takeGroup()
      try {
        if (this.#writer.end.bytes >= this.segmentBytes) await this.#rotate()
        const { bytes, checksum } = encodeFrame(
          group.map(({ text }) => text),
          this.#writer.end.checksum,
        )
        await this.#writer.write(bytes, { sequence: group.at(-1)!.last, checksum })
        for (const { resolve, last } of group) resolve(last)
      } catch (error) {
        // What waits was appended after what failed.
        for (const { reject } of [...group, ...this.#queue.splice(0)]) reject(error)
        this.#planned = this.#writer.end.sequence
      }
    }
    this.#flushing = undefined
  }

  #takeGroup(): Waiting[] {
    let bytes = 2
    let count = 0
    for (const { text } of this.#queue) {
      bytes += Buffer.byteLength(text) + 1
      if (count > 0 && bytes > maximumBody) break
      count++
    }
    return this.#queue.splice(0, count)
  }

  async #rotate(): Promise<void> {
    const { path, head, end } = this.#writer
    const next = await SegmentWriter.create(this.folder, {
      run: head.run,
      first: end.sequence + 1,
      chain: end.checksum,
    })
    await this.#writer.close()
    this.#writer = next
    // A segment that cannot be packed is as good unpacked.
    this.#packing = this.#packing.then(() => pack(path)).catch(() => {})
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.folder)
    } catch (error) {
      throw ioError(error, `cannot read '${this.folder}'`)
    }
  }

  #checkOpen(): void {
    if (this.#closed)
      throw new FedloraError('E_DISPOSED', `the journal '${this.folder}' was closed; open it again`, {
        folder: this.folder,
      })
  }
}
