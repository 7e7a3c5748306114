/** Answers as they arrive: a manifest that says what is in a blob, and the blob. */
import { createHash } from 'node:crypto'
import { FedloraError } from '../../errors.js'
import { canonicalJson } from '../../files/canonical-json.js'
import type { BlobStore } from '../blobs/blob-store.js'
import type { Answer } from '../protocol/messages.js'
import type { Manifest } from './messages.js'
import { unpack } from './packed.js'

/** Tells two answers of one client apart. */
export const digestOf = (manifest: Manifest): string =>
  createHash('sha256').update(canonicalJson(manifest)).digest('hex')

/** Why a manifest is not one of this federation, client and round, in words; undefined: it is. */
export function foreignTo(
  { run, answer }: Manifest,
  at: { run: string; client: string; round: number },
): string | undefined {
  const wrong = (what: string, got: unknown, expected: unknown) =>
    `the answer of client ${at.client}: its ${what} is ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`
  if (run !== at.run) return wrong('federation', run, at.run)
  if (answer.client !== at.client) return wrong('client', answer.client, at.client)
  return answer.round === at.round ? undefined : wrong('round', answer.round, at.round)
}

/** @throws FedloraError `E_FORMAT` for vectors whose sizes are not that of their blob. */
export function checkSizes({ answer: { client }, vectors, masked, blob }: Manifest): void {
  if (masked !== undefined && blob !== null && Object.keys(vectors).length === 0) return
  const bytes = Object.values(vectors).reduce((sum, size) => sum + size, 0)
  if (bytes === (blob?.bytes ?? 0)) return
  const message = `the answer of client ${client}: its vectors have ${bytes} bytes, and its blob ${blob?.bytes ?? 0}`
  throw new FedloraError('E_FORMAT', message, { client, bytes })
}

/**
 * The answer that a manifest and its blob make: the vectors lie in ascending order of their names, or one message of the secure aggregation does.
 * @throws FedloraError `E_FORMAT` for a blob that is no such message.
 */
export async function answerOf({ answer, vectors, masked, blob }: Manifest, blobs: BlobStore): Promise<Answer> {
  const bytes = blob === null ? new Uint8Array(0) : await blobs.read(blob.blob)
  if (masked !== undefined)
    return { ...answer, vectors: {}, masked: { vectors: masked, message: unpack(bytes) as never } }
  const sent: Record<string, Uint8Array> = {}
  let at = 0
  for (const name of Object.keys(vectors).sort()) {
    const size = vectors[name]!
    sent[name] = bytes.subarray(at, at + size)
    at += size
  }
  return { ...answer, vectors: sent }
}
