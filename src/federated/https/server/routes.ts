/** What clients may ask, and what of a server's `Door` and `Registry` answers it. */
import { createHash } from 'node:crypto'
import type { z } from 'zod'
import { FedloraError } from '../../../errors.js'
import { parseOptions } from '../../../options/parse.js'
import type { Door, Registry } from '../../link/link.js'
import { type Known, knownSchema, wordSchema } from '../../link/messages.js'
import type { LimitsConfig } from '../options.js'
import { paths, wholeNumber } from '../wire.js'
import { sendBlob, takeBlob, tellOffset } from './blobs.js'
import { Budget } from './budget.js'
import type { Exchange } from './exchange.js'
import { announcedLength, readMessage } from './intake.js'
import type { Route } from './router.js'
import { Turnstile } from './turnstile.js'
import type { Waiting } from './waiting.js'

/** Milliseconds after which an upload that goes on counts no longer among those at a time: its line is slow, and others need not wait for it. */
const longestTurn = 1000

/** Who must have signed a request: a client, or, to enrol, whoever has a token. */
export interface Handler {
  by: 'client' | 'stranger'
  run(exchange: Exchange, last: string, query: URLSearchParams): Promise<void>
}

export interface Behind {
  door: Door
  registry: Pick<Registry, 'enroll'>
  limits: LimitsConfig
  waiting: Waiting
  /** Called when a client has enrolled. */
  enrolled(client: string, address: string): void
}

/** What `schema` says of a message. @throws FedloraError `E_FORMAT` naming what is wrong. */
function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  try {
    return parseOptions(schema, value, what)
  } catch (error) {
    const { message, details } = error as FedloraError
    throw new FedloraError('E_FORMAT', message, details, error)
  }
}

function knownOf(query: URLSearchParams): Known {
  const working = query.get('working')
  const known = {
    settled: wholeNumber(query.get('settled')),
    working: working === '' ? null : wholeNumber(working),
    heard: wholeNumber(query.get('heard')),
  }
  return checked(knownSchema, known, 'the query')
}

/** An enrolment that is none of a token and nothing else. */
function tokenOf(message: unknown): string {
  const token = typeof message === 'object' && message !== null ? (message as { token?: unknown }).token : undefined
  if (typeof token === 'string' && token.length > 0 && token.length <= 255) return token
  throw new FedloraError('E_FORMAT', 'an enrolment holds { token }, a text of 1 to 255 characters')
}

export function clientRoutes({ door, registry, limits, waiting, enrolled }: Behind): Route<Handler>[] {
  const memory = new Budget(limits.messageMemory)
  const spool = new Budget(limits.spoolBytes)
  const turnstile = new Turnstile(limits.uploads, longestTurn)

  async function message(exchange: Exchange): Promise<unknown> {
    const length = announcedLength(exchange.request, limits.messageBytes)
    const release = memory.take(length)
    if (release === undefined) {
      throw new FedloraError('E_RATE', 'the server takes no further messages at the moment', {
        status: 503,
        retryAfter: 1,
      })
    }
    try {
      return await readMessage(exchange.request, length, limits, () => exchange.goOn())
    } finally {
      release()
    }
  }

  const blobs = { path: paths.blobs, last: /^[0-9a-f]{64}$/ }
  const byClient = (run: Handler['run']): Handler => ({ by: 'client', run })
  return [
    {
      name: 'enroll',
      method: 'POST',
      path: paths.enroll,
      handle: {
        by: 'stranger',
        async run(exchange) {
          const token = tokenOf(await message(exchange))
          const { client } = await registry.enroll(token, exchange.signed.keyid)
          enrolled(client, exchange.address)
          exchange.send(201, { client })
        },
      },
    },
    {
      name: 'describe',
      method: 'GET',
      path: paths.describe,
      handle: byClient(async (exchange) => {
        const description = await door.describe()
        const etag = `"${createHash('sha256').update(JSON.stringify(description)).digest('hex')}"`
        const same = exchange.request.headers['if-none-match'] === etag
        exchange.send(same ? 304 : 200, same ? undefined : description, { etag })
      }),
    },
    {
      name: 'next',
      method: 'GET',
      path: paths.next,
      handle: byClient(async (exchange, _, query) => {
        const { client, gone } = exchange
        const known = knownOf(query)
        const seconds = wholeNumber(query.get('wait')) ?? waiting.seconds
        const notice = await waiting.wait(client, seconds, gone, (signal) => door.next(client, known, signal))
        const { pause } = waiting
        // Who is to come again much later needs no connection until then.
        const close: Record<string, string> = pause > 0 ? { connection: 'close' } : {}
        if (notice === undefined) exchange.send(204, undefined, { 'retry-after': String(pause), ...close })
        else exchange.send(200, notice)
      }),
    },
    {
      name: 'say',
      method: 'POST',
      path: paths.say,
      handle: byClient(async (exchange) => {
        const word = checked(wordSchema, await message(exchange), 'the word')
        exchange.send(200, await door.say(exchange.client, word))
      }),
    },
    { ...blobs, name: 'download', method: 'GET', handle: byClient((exchange, blob) => sendBlob(exchange, door, blob)) },
    {
      ...blobs,
      name: 'offset',
      method: 'HEAD',
      handle: byClient((exchange, blob) => tellOffset(exchange, door, blob)),
    },
    {
      ...blobs,
      name: 'upload',
      method: 'PATCH',
      handle: byClient((exchange, blob) => takeBlob(exchange, door, blob, limits, spool, turnstile)),
    },
  ]
}
