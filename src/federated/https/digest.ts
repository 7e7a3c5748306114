/** Digest of a message's content, as the field `content-digest` carries it: `sha-256=:base64:`. Source: RFC 9530 §2. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { FedloraError } from '../../errors.js'
import { parseDictionary } from './structured-fields.js'

export const digestField = 'content-digest'

export function contentDigest(content: Uint8Array): string {
  return `sha-256=:${createHash('sha256').update(content).digest('base64')}:`
}

/** @throws FedloraError `E_HASH` when the field is missing, names no SHA-256, or another. */
export function checkContentDigest(field: string | undefined, content: Uint8Array): void {
  const sha256 = field === undefined ? undefined : parseDictionary(field).get('sha-256')
  const named = sha256 !== undefined && 'value' in sha256 ? sha256.value : undefined
  if (!(named instanceof Uint8Array)) {
    throw new FedloraError('E_HASH', `the field ${digestField} is '${field ?? ''}', expected sha-256=:…:`)
  }
  const digest = createHash('sha256').update(content).digest()
  if (named.length !== digest.length || !timingSafeEqual(named, digest)) {
    throw new FedloraError('E_HASH', `the content is not what its ${digestField} says: it changed on the way`)
  }
}
