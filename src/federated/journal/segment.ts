/**
 * A file of a journal. Its name is the sequence of its first record, its first line says whose it is; frames follow.
 *
 *   fedlora-journal 1 RUN FIRST CHAIN SUM⏎
 *
 * RUN: 32 hexadecimal digits; FIRST: the sequence of the first record; CHAIN: check sum of the last frame of the segment before; SUM: CRC-32C
 * of the line up to it. A segment appears by a rename when the one before is flushed, so that its line is whole, and only the last one can
 * have a torn end.
 */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import { crc32c } from '../../files/crc32c.js'
import { decodeFrame, followsBroken } from './frame.js'
import { isPacked, packedName, unpack } from './packed.js'

const version = 1
const headLine = /^fedlora-journal (\d{1,9}) ([0-9a-f]{32}) (\d{1,15}) ([0-9a-f]{8}) ([0-9a-f]{8})\n/
const longestHead = 96
const segmentName = /^journal-(\d{15})\.fl(\.gz)?$/

export interface SegmentHead {
  readonly run: string
  readonly first: number
  readonly chain: number
}

/** Where a journal stands behind a segment. */
export interface SegmentEnd {
  /** Bytes of the file up to the end of its last whole frame. */
  readonly bytes: number
  readonly sequence: number
  readonly checksum: number
}

export interface Segment extends SegmentEnd {
  readonly head: SegmentHead
  readonly records: readonly unknown[]
  /** Bytes behind its last whole frame: what a writer that was killed had not acknowledged. */
  readonly torn: number
}

export function segmentFile(first: number): string {
  return `journal-${String(first).padStart(15, '0')}.fl`
}

/** Names of the segments among files, in order; of one that is there packed and unpacked (packed.ts), the packed one. */
export function segmentsAmong(names: readonly string[]): string[] {
  const segments = names.filter((name) => segmentName.test(name)).sort()
  return segments.filter((name, i) => segments[i + 1] !== packedName(name))
}

const hex = (checksum: number) => checksum.toString(16).padStart(8, '0')

export function encodeHead({ run, first, chain }: SegmentHead): Buffer {
  const line = `fedlora-journal ${version} ${run} ${first} ${hex(chain)} `
  return Buffer.from(`${line}${hex(crc32c(Buffer.from(line)))}\n`)
}

export function corrupt(path: string, byte: number, why: string): FedloraError {
  const message = `journal '${path}', byte ${byte}: ${why}; put the file back from a backup of the whole folder`
  return new FedloraError('E_JOURNAL_CORRUPT', message, { path, byte })
}

function decodeHead(path: string, bytes: Buffer): { head: SegmentHead; end: number } {
  const fields = headLine.exec(bytes.toString('latin1', 0, longestHead))
  if (fields === null) throw corrupt(path, 0, 'its first line is not that of a journal')
  const [line, written, run, first, chain, sum] = fields as unknown as [string, string, string, string, string, string]
  if (hex(crc32c(bytes.subarray(0, line.length - 9))) !== sum) throw corrupt(path, 0, 'its first line is damaged')
  if (Number(written) !== version) {
    const message = `journal '${path}': version ${written}, expected ${version}; go on with the release that wrote it`
    throw new FedloraError('E_VERSION', message, { path, version: Number(written), expected: version })
  }
  return { head: { run, first: Number(first), chain: Number.parseInt(chain, 16) }, end: line.length }
}

/**
 * All of a segment.
 * @param isLast - whether it is the last of the journal, which may have a torn end.
 * @throws FedloraError `E_JOURNAL_CORRUPT` naming file and byte, `E_VERSION`, `E_IO`.
 */
export function parseSegment(path: string, bytes: Buffer, isLast: boolean): Segment {
  const { head, end } = decodeHead(path, bytes)
  if (segmentFile(head.first) !== basename(path, '.gz')) throw corrupt(path, 0, `it begins with record ${head.first}`)
  const records: unknown[] = []
  let at = end
  let checksum = head.chain
  while (at < bytes.length) {
    const frame = decodeFrame(bytes, at, checksum)
    if (frame === undefined) {
      if (!isLast) throw corrupt(path, at, 'the record there is damaged')
      if (followsBroken(bytes, at, checksum)) throw corrupt(path, at, 'the record there is damaged, and more follow')
      break
    }
    for (const record of frame.records) records.push(record)
    at = frame.end
    checksum = frame.checksum
  }
  return { head, records, bytes: at, sequence: head.first + records.length - 1, checksum, torn: bytes.length - at }
}

/**
 * Reads a segment, packed or not.
 * @param limit - bytes of it that are flushed; more may be under way.
 */
export async function readSegment(path: string, isLast: boolean, limit?: number): Promise<Segment> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    // It may have been packed since somebody looked.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !isPacked(path))
      return readSegment(packedName(path), false)
    throw ioError(error, `cannot read '${path}'`)
  }
  if (!isPacked(path)) return parseSegment(path, limit === undefined ? bytes : bytes.subarray(0, limit), isLast)
  const whole = await unpack(bytes)
  if (whole === undefined) throw corrupt(path, 0, 'it cannot be unpacked')
  return parseSegment(path, whole, false)
}
