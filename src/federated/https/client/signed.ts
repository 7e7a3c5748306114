/** Requests that prove who asks, and answers that prove who answered. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { FedloraError } from '../../../errors.js'
import { checkContentDigest, contentDigest, digestField } from '../digest.js'
import { publicKeyOf, type SigningKey } from '../keys.js'
import { errorOf } from '../problem.js'
import { readSignature, signMessage, verifySignature } from '../signature.js'
import { fieldOf, protocolVersion, versionField } from '../wire.js'

type Fields = Record<string, string>

/** Bytes of the longest answer that is no blob. */
const longest = 64 * 2 ** 20

/** Fields that are covered where a request has them. */
const coveredFields = [digestField, versionField, 'upload-offset', 'upload-length']

/** The fields of a request with its signature. */
export function signRequest(
  key: SigningKey,
  method: string,
  uri: string,
  fields: Fields,
  content?: Uint8Array,
): Fields {
  const all: Fields = { ...fields, [versionField]: String(protocolVersion) }
  if (content !== undefined) all[digestField] = contentDigest(content)
  const names = coveredFields.filter((name) => name in all)
  const covered = [
    ['"@method"', method],
    ['"@target-uri"', uri],
    ...names.map((name) => [`"${name}"`, all[name]!] as const),
  ] as const
  const created = Math.floor(Date.now() / 1000)
  const nonce = randomBytes(16).toString('base64url')
  return { ...all, ...signMessage(covered, { created, nonce, keyid: key.name }, key.private) }
}

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  content: Buffer
}

/** Reads all of an answer that is no blob. @throws FedloraError `E_TOO_LARGE`; what the stream throws when it is cut. */
export async function readAnswer(message: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message) {
    bytes += (chunk as Buffer).length
    if (bytes > longest) {
      message.destroy()
      throw new FedloraError('E_TOO_LARGE', `an answer of more than ${longest} bytes; this is no server of fedlora`)
    }
    chunks.push(chunk as Buffer)
  }
  return { status: message.statusCode ?? 0, headers: message.headers, content: Buffer.concat(chunks) }
}

/** Whether the run's key signed this answer to that request. */
function isSigned({ status, headers, content }: Answer, runKey: string, requestSignature: string): boolean {
  const key = publicKeyOf(runKey)
  if (key === undefined || fieldOf(headers, 'signature') === undefined) return false
  const required = ['"@status"', `"${digestField}"`, `"${versionField}"`, '"signature";req;key="fedlora"']
  if (headers['upload-offset'] !== undefined) required.push('"upload-offset"')
  const componentOf = (identifier: string): string | undefined => {
    if (identifier === '"@status"') return String(status)
    if (identifier === '"signature";req;key="fedlora"') return requestSignature.replace(/^fedlora=/, '')
    return /^"[a-z0-9-]+"$/.test(identifier) ? fieldOf(headers, identifier.slice(1, -1)) : undefined
  }
  try {
    const read = readSignature(fieldOf(headers, 'signature-input'), fieldOf(headers, 'signature'))
    checkContentDigest(fieldOf(headers, digestField), content)
    return read.keyid === runKey && verifySignature(read, required, componentOf, key)
  } catch {
    return false
  }
}

/** Answers that any machine on the way may give: they decide nothing, and are asked for again. */
const passing = (status: number): boolean => status === 408 || status === 425 || status === 429 || status >= 500

/**
 * An answer that the server gave to this request.
 * @param sent - fields of the request, with its signature.
 * @throws FedloraError what the server threw; `E_UNREACHABLE` for troubles on the way; `E_AUTH` for an answer that the run's key did not sign.
 */
export function checkAnswer(answer: Answer, runKey: string, sent: Fields, address: string): Answer {
  const { status, headers, content } = answer
  const told = status >= 400 ? errorOf(content.toString('utf8')) : undefined
  if (!isSigned(answer, runKey, sent.signature!)) {
    if (passing(status)) {
      const retryAfter = Number(headers['retry-after'])
      const details = { status, ...(Number.isFinite(retryAfter) ? { retryAfter } : {}) }
      throw told?.code === 'E_RATE'
        ? told
        : new FedloraError('E_UNREACHABLE', `${address} answers ${status} ${told?.message ?? ''}`.trim(), details)
    }
    const says = told === undefined ? `status ${status}` : `${told.code}, ${told.message}`
    throw new FedloraError(
      'E_AUTH',
      `an answer of ${address} is not signed by the federation's key; it says: ${says}`,
      { status, says: told?.code },
    )
  }
  if (status < 400) return answer
  throw told ?? new FedloraError('E_INTERNAL', `${address} answers ${status} without a reason`, { status })
}
