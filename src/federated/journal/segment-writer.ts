/** The end of a journal: the segment that frames are written to. */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError, replaceFile } from '../../files/atomic.js'
import { diskError } from '../../files/disk.js'
import { encodeHead, type Segment, type SegmentEnd, type SegmentHead, segmentFile } from './segment.js'

export class SegmentWriter {
  #broken: unknown

  private constructor(
    readonly path: string,
    readonly head: SegmentHead,
    private readonly file: FileHandle,
    /** What is flushed. */
    public end: SegmentEnd,
  ) {}

  /** Begins a segment. @throws FedloraError `E_DISK_FULL`, `E_IO`: then there is none. */
  static async create(folder: string, head: SegmentHead): Promise<SegmentWriter> {
    const path = join(folder, segmentFile(head.first))
    const line = encodeHead(head)
    try {
      await replaceFile(path, async (temporary) => {
        const file = await open(temporary, 'wx')
        try {
          await file.writeFile(line)
        } finally {
          await file.close()
        }
      })
      const end = { bytes: line.length, sequence: head.first - 1, checksum: head.chain }
      return new SegmentWriter(path, head, await open(path, 'r+'), end)
    } catch (error) {
      throw diskError(error, `cannot begin '${path}'`)
    }
  }

  /** Goes on with a segment behind its last whole frame. */
  static async reopen(path: string, segment: Segment): Promise<SegmentWriter> {
    const writer = new SegmentWriter(path, segment.head, await open(path, 'r+'), segment)
    try {
      await writer.#cut()
    } catch (error) {
      await writer.file.close()
      throw error
    }
    return writer
  }

  /**
   * Writes a frame and flushes it.
   * @throws FedloraError `E_DISK_FULL`, `E_IO`: then nothing of it is there. After a flush that failed, nobody knows what the device holds: this
   * segment takes nothing more until it is opened again.
   */
  async write(frame: Buffer, after: Omit<SegmentEnd, 'bytes'>): Promise<void> {
    if (this.#broken !== undefined) {
      throw new FedloraError(
        'E_IO',
        `'${this.path}' could not be written before; start again from the journal`,
        {},
        this.#broken,
      )
    }
    const { bytes } = this.end
    try {
      for (let done = 0; done < frame.length; ) {
        done += (await this.file.write(frame, done, frame.length - done, bytes + done)).bytesWritten
      }
      await this.file.datasync()
    } catch (error) {
      const failure = diskError(error, `cannot append to '${this.path}'`)
      try {
        await this.#cut()
        if ((failure as FedloraError).code !== 'E_DISK_FULL') this.#broken = failure
      } catch (again) {
        this.#broken = again
      }
      throw failure
    }
    this.end = { bytes: bytes + frame.length, ...after }
  }

  async close(): Promise<void> {
    await this.file.close()
  }

  /** Leaves nothing behind the last whole frame. */
  async #cut(): Promise<void> {
    try {
      await this.file.truncate(this.end.bytes)
      await this.file.sync()
    } catch (error) {
      throw ioError(error, `cannot cut '${this.path}'`)
    }
  }
}
