/**
 * TensorBoard event files: TFRecords that hold `tensorflow.Event` messages, written by hand.
 *
 *   record  = length u64 · masked crc32c(length) u32 · message · masked crc32c(message) u32, little-endian
 *   masked  = rotate_right(crc, 15) + 0xa282ead8
 *   Event   = wall_time 1: double · step 2: varint · file_version 3: string · summary 5: Summary · session_log 7: SessionLog
 *   Summary = repeated value 1: { tag 1: string · simple_value 2: float };  SessionLog = status 1: enum (START = 1)
 *
 * Source: tensorflow/core/util/event.proto, framework/summary.proto, lib/io/record_writer. A resumed run begins a file whose
 * SessionLog START at a step makes readers forget what older files say of that step and later ones.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { ioError, makeFolder } from '../files/atomic.js'
import { crc32c } from '../files/crc32c.js'
import type { TrainEvent } from './events.js'

function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** One TFRecord around a message. */
function record(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(16 + message.length)
  bytes.writeBigUInt64LE(BigInt(message.length), 0)
  bytes.writeUInt32LE(masked(bytes.subarray(0, 8)), 8)
  bytes.set(message, 12)
  bytes.writeUInt32LE(masked(message), 12 + message.length)
  return bytes
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt(value)
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

const wire = { varint: 0, double: 1, bytes: 2, float: 5 } as const

function field(number: number, type: keyof typeof wire, value: Buffer): Buffer {
  const key = varint((number << 3) | wire[type])
  return type === 'bytes' ? Buffer.concat([key, varint(value.length), value]) : Buffer.concat([key, value])
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return bytes
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

function event(seconds: number, step: number, what: Buffer): Buffer {
  const place = step === 0 ? [] : [field(2, 'varint', varint(step))] // protobuf leaves zeros out
  return record(Buffer.concat([field(1, 'double', double(seconds)), ...place, what]))
}

/** The record that begins a file. */
export function versionRecord(seconds: number): Buffer {
  return event(seconds, 0, field(3, 'bytes', Buffer.from('brain.Event:2')))
}

/** The record after which older files count for nothing from `step` on. */
export function restartRecord(seconds: number, step: number): Buffer {
  return event(seconds, step, field(7, 'bytes', field(1, 'varint', varint(1))))
}

/** The record of a step's scalars by tag. */
export function scalarsRecord(seconds: number, step: number, scalars: Readonly<Record<string, number>>): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) =>
    field(1, 'bytes', Buffer.concat([field(1, 'bytes', Buffer.from(tag)), field(2, 'float', float(value))])),
  )
  return event(seconds, step, field(5, 'bytes', Buffer.concat(values)))
}

/** The scalars of an event by tag; nothing for events that have none. */
export function scalarsOf(event: TrainEvent): Record<string, number> {
  if (event.type === 'step') {
    const { loss, learningRate, gradNorm, tokensPerSecond, epoch } = event
    return {
      'train/loss': loss,
      'train/learning_rate': learningRate,
      'train/grad_norm': gradNorm,
      'train/tokens_per_second': tokensPerSecond,
      'train/epoch': epoch,
    }
  }
  if (event.type !== 'evaluation') return {}
  return { 'eval/loss': event.loss, 'eval/perplexity': event.perplexity, 'eval/token_accuracy': event.tokenAccuracy }
}

export class TensorBoard {
  readonly #file: FileHandle
  readonly #path: string

  private constructor(file: FileHandle, path: string) {
    this.#file = file
    this.#path = path
  }

  /** Begins a file in `folder` for the steps after `step`. */
  static async open(folder: string, step: number): Promise<TensorBoard> {
    const now = Date.now() / 1000
    const path = join(folder, `events.out.tfevents.${now.toFixed(3).replace('.', '')}.fedlora`)
    try {
      await makeFolder(folder)
      const board = new TensorBoard(await open(path, 'a'), path)
      await board.#write(versionRecord(now))
      if (step > 0) await board.#write(restartRecord(now, step + 1))
      return board
    } catch (error) {
      throw ioError(error, `cannot write '${path}'`)
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(bytes)
    } catch (error) {
      throw ioError(error, `cannot write '${this.#path}'`)
    }
  }

  async add(told: TrainEvent): Promise<void> {
    const scalars = scalarsOf(told)
    if (Object.keys(scalars).length === 0 || !('step' in told)) return
    await this.#write(scalarsRecord(Date.now() / 1000, told.step, scalars))
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
