/** What a worker does with an assignment: screens each answer as a server does, and sums exactly what counts. It has no model, no rows, and no state. */
import type { BlobId, BlobStore } from '../blobs/blob-store.js'
import { answerOf, checkSizes } from '../link/answers.js'
import type { ScreeningConfig } from '../screening-options.js'
import { ExactCollector } from '../server/collect.js'
import { isRefusal, screen } from '../server/screen.js'
import type { Assignment, Done } from './assignment.js'

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]) => (a < b ? -1 : 1)

/** Adds an answer to the sums. @throws FedloraError as `screen`, for one that may not count. */
async function addTo(
  sums: ExactCollector,
  { manifest, share }: Assignment['answers'][number],
  screening: ScreeningConfig | undefined,
  blobs: BlobStore,
): Promise<void> {
  const { names, vectors: known, weight, inSums } = share
  checkSizes(manifest)
  const answer = await answerOf(manifest, blobs)
  const lengthOf = (name: string) => (Object.hasOwn(known, name) ? known[name]!.length : undefined)
  const vectors = Object.entries(screen(answer, { names, weight, lengthOf }, screening))
  const named = vectors.map(([name, values]) => [known[name]!.sum, values] as const)
  sums.add(answer.client, Object.fromEntries(named), inSums ?? Number.NaN)
}

/**
 * Screens and sums the answers of an assignment; the sums are a blob when this resolves.
 * @param onAnswer - told behind each answer.
 * @throws FedloraError `E_BLOB_MISSING` when nobody needs it any more, or an answer is lost; `E_MEMORY`, and as the store.
 */
export async function foldAssignment(
  id: BlobId,
  { answers, screening }: Assignment,
  blobs: BlobStore,
  onAnswer: () => unknown = () => {},
): Promise<Done> {
  const sums = new ExactCollector()
  try {
    const accepted: string[] = []
    const refused: Done['refused'] = []
    for (const one of answers) {
      const { client } = one.manifest.answer
      try {
        await addTo(sums, one, screening, blobs)
        accepted.push(client)
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused.push({ client, code: error.code, why: error.message })
      }
      await onAnswer()
    }
    const partials = Object.entries(sums.partials()).sort(byName)
    const partial = partials.length === 0 ? null : await blobs.put(Buffer.concat(partials.map(([, bytes]) => bytes)))
    const sizes = Object.fromEntries(partials.map(([name, { length }]) => [name, length]))
    return { assignment: id, partial, sums: sizes, accepted, refused }
  } finally {
    sums.dispose()
  }
}

/** The sums that a blob holds, by name. @throws FedloraError `E_BLOB_MISSING`. */
export async function sumsOf(
  { partial, sums }: Pick<Done, 'partial' | 'sums'>,
  blobs: BlobStore,
): Promise<Record<string, Uint8Array>> {
  if (partial === null) return {}
  const bytes = await blobs.read(partial.blob)
  let at = 0
  const named: Record<string, Uint8Array> = {}
  for (const [name, size] of Object.entries(sums).sort(byName)) {
    named[name] = bytes.subarray(at, at + size)
    at += size
  }
  return named
}
