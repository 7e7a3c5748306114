/**
 * An answer as bytes of a file:
 *
 *   a line of JSON (the answer without its vectors; kind, name and bytes of what follows), then the messages one after the other
 */
import type { Vectors } from '../algorithms/algorithm.js'
import type { Answer } from '../protocol/messages.js'
import { decodeVector, encodeVector } from '../vector-message.js'

/** What an answer is made of, for those that count it. */
export interface Done {
  answer: Answer
  /** What was sent, before encoding; none where nobody compares. */
  vectors: Vectors
  /** The client's adapter after its work; undefined where the server learns it from the vectors. */
  trained: Float32Array | undefined
  /** Bytes of the vectors as float32, and of the numbers. */
  bytesUpRaw: number
}

/** What of it must wait with it: vectors as they were where a codec loses something, and an adapter of which nothing travels. */
export const waitingPart = ({ answer, vectors, trained, bytesUpRaw }: Done, codec: string): Done => ({
  answer,
  bytesUpRaw,
  vectors: codec === 'f32' ? {} : vectors,
  trained: Object.keys(answer.vectors).length === 0 ? trained : undefined,
})

/** Kinds of messages in a file. */
type Part = ['sent' | 'meant' | 'trained', name: string, bytes: number]

export function pack({ answer, vectors, trained }: Done): Buffer {
  const parts: Part[] = []
  const blobs: Uint8Array[] = []
  const put = (kind: Part[0], name: string, bytes: Uint8Array) => {
    parts.push([kind, name, bytes.length])
    blobs.push(bytes)
  }
  for (const [name, message] of Object.entries(answer.vectors)) put('sent', name, message)
  for (const [name, values] of Object.entries(vectors)) put('meant', name, encodeVector(values))
  if (trained !== undefined) put('trained', '', encodeVector(trained))
  const head = JSON.stringify({ answer: { ...answer, vectors: {} }, parts })
  return Buffer.concat([Buffer.from(`${head}\n`), ...blobs])
}

export function unpack(bytes: Buffer): Omit<Done, 'bytesUpRaw'> {
  const end = bytes.indexOf(10)
  const { answer, parts } = JSON.parse(bytes.subarray(0, end).toString()) as { answer: Answer; parts: Part[] }
  const done = {
    answer,
    vectors: {} as Vectors,
    trained: undefined as Float32Array | undefined,
  }
  let at = end + 1
  for (const [kind, name, length] of parts) {
    const message = bytes.subarray(at, at + length)
    at += length
    if (kind === 'sent') done.answer.vectors[name] = message
    else if (kind === 'meant') done.vectors[name] = decodeVector(message)
    else done.trained = decodeVector(message)
  }
  return done
}
