/** What clients send, read no faster than it is used, and from nobody who sends slower than the floor. */
import type { IncomingMessage } from 'node:http'
import { FedloraError } from '../../../errors.js'
import { checkContentDigest, digestField } from '../digest.js'
import type { LimitsConfig } from '../options.js'
import { fieldOf, wholeNumber } from '../wire.js'

type Floor = Pick<LimitsConfig, 'slowestBytesPerSecond' | 'slownessSeconds'>

/**
 * The bytes of a request as they come. It ends early when the sender is gone, or too slow: waiting for it uses up an allowance of
 * `slownessSeconds`, and every byte gives 1 / `slowestBytesPerSecond` seconds back; a sender who has none left is cut off. Time in which nobody
 * reads costs the sender nothing.
 * @param begin - called when the first byte is wanted: a sender that asked first (Expect: 100-continue) is told to go on.
 */
export async function* chunksOf(
  request: IncomingMessage,
  { slowestBytesPerSecond: floor, slownessSeconds }: Floor,
  begin: () => void = () => {},
): AsyncGenerator<Uint8Array> {
  begin()
  const chunks = request.iterator({ destroyOnReturn: false })
  let allowance = slownessSeconds
  for (;;) {
    const began = performance.now()
    const timer = setTimeout(() => request.destroy(), allowance * 1000)
    const next = await chunks.next().catch(() => undefined) // the sender is gone: what has come has come
    clearTimeout(timer)
    if (next === undefined || next.done) return
    const bytes = next.value as Uint8Array
    const refund = floor === 0 ? slownessSeconds : bytes.length / floor
    allowance = Math.min(slownessSeconds, allowance - (performance.now() - began) / 1000 + refund)
    yield bytes
  }
}

/** Bytes that a request announces. @throws FedloraError `E_FORMAT` when it does not, `E_TOO_LARGE`. */
export function announcedLength(request: IncomingMessage, most: number): number {
  const length = wholeNumber(request.headers['content-length'])
  if (length === undefined)
    throw new FedloraError('E_FORMAT', 'the field content-length is missing: say how many bytes follow')
  if (length > most)
    throw new FedloraError('E_TOO_LARGE', `a message of ${length} bytes, expected at most ${most}`, {
      bytes: length,
      most,
    })
  return length
}

/** The JSON of a request whose digest fits. @throws FedloraError `E_HASH`, `E_FORMAT`, `E_UNREACHABLE` for one that was cut. */
export async function readMessage(
  request: IncomingMessage,
  length: number,
  floor: Floor,
  begin?: () => void,
): Promise<unknown> {
  const chunks: Uint8Array[] = []
  for await (const chunk of chunksOf(request, floor, begin)) chunks.push(chunk)
  const content = Buffer.concat(chunks)
  if (content.length !== length)
    throw new FedloraError('E_UNREACHABLE', `the message was cut after ${content.length} of ${length} bytes`)
  checkContentDigest(fieldOf(request.headers, digestField), content)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content))
  } catch (error) {
    throw new FedloraError('E_FORMAT', `the message is no JSON: ${(error as Error).message}`, {}, error)
  }
}
