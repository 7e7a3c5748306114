/** Bytes by their hash, in pieces both ways: Range and ETag down (RFC 9110 §13, §14), Upload-Offset and Upload-Length up. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { FedloraError } from '../../../errors.js'
import type { Door } from '../../link/link.js'
import type { LimitsConfig } from '../options.js'
import { fieldOf, wholeNumber } from '../wire.js'
import type { Budget } from './budget.js'
import type { Exchange } from './exchange.js'
import { chunksOf } from './intake.js'
import type { Turnstile } from './turnstile.js'

const tagOf = (blob: string): string => `"${blob}"`

/** First byte that is asked for; only `bytes=N-` is read, everything else gets the whole, as RFC 9110 §14.2 allows. */
const rangeStart = (range: string | undefined): number => wholeNumber(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]) ?? 0

export async function sendBlob(exchange: Exchange, door: Door, blob: string): Promise<void> {
  const { request, response, client, gone } = exchange
  const from = rangeStart(request.headers.range)
  const { bytes, chunks } = await door.read(client, blob, from)
  if (request.headers['if-none-match'] === tagOf(blob)) return exchange.send(304, undefined, { etag: tagOf(blob) })
  if (from > 0 && from >= bytes) {
    const message = `the blob has ${bytes} bytes, and byte ${from} was asked for`
    throw new FedloraError('E_UPLOAD_OFFSET', message, { status: 416, bytes })
  }
  const part = from > 0 ? { 'content-range': `bytes ${from}-${bytes - 1}/${bytes}` } : {}
  response.writeHead(from > 0 ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': bytes - from,
    'cache-control': 'private, immutable',
    'accept-ranges': 'bytes',
    etag: tagOf(blob),
    ...part,
  })
  for await (const chunk of chunks) {
    if (!response.write(chunk)) await once(response, 'drain', { signal: gone }).catch(() => {})
    if (gone.aborted) return
  }
  response.end()
}

/** How far an upload of the client has come. */
export async function tellOffset(exchange: Exchange, door: Door, blob: string): Promise<void> {
  exchange.send(200, undefined, { 'upload-offset': String(await door.offset(exchange.client, blob)) })
}

function numberIn({ headers }: IncomingMessage, name: string): number {
  const text = fieldOf(headers, name)
  const value = wholeNumber(text)
  if (value !== undefined) return value
  throw new FedloraError('E_FORMAT', `the field ${name} is '${text ?? ''}', expected a whole number of bytes`)
}

export async function takeBlob(
  exchange: Exchange,
  door: Door,
  blob: string,
  limits: LimitsConfig,
  spool: Budget,
  turnstile: Turnstile,
): Promise<void> {
  const { request, client, gone } = exchange
  const from = numberIn(request, 'upload-offset')
  const bytes = numberIn(request, 'upload-length')
  const announced = numberIn(request, 'content-length')
  if (from + announced > bytes) {
    throw new FedloraError(
      'E_TOO_LARGE',
      `${announced} bytes from byte ${from} on are more than the ${bytes} of the blob`,
      { bytes },
    )
  }
  const release = spool.take(announced)
  if (release === undefined) {
    throw new FedloraError('E_RATE', 'the server takes no further uploads at the moment', {
      status: 503,
      retryAfter: 5,
    })
  }
  const leave = await turnstile.enter(gone)
  try {
    const chunks = chunksOf(request, limits, () => exchange.goOn())
    const arrived = await door.write(client, { blob, bytes }, from, chunks)
    exchange.send(arrived === bytes ? 201 : 204, undefined, { 'upload-offset': String(arrived) })
  } finally {
    leave()
    release()
  }
}
