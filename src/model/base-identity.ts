/**
 * Which base a model folder holds, as two hashes: machines that train one adapter together must have the same. The hash of the weights is that
 * of their file (`sha256sum model.safetensors`); of several files, that of their hashes, one a line, in the order of their names.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { ioError } from '../files/atomic.js'
import { canonicalJson } from '../files/canonical-json.js'
import { findModel } from '../files/model-source.js'
import type { ModelConfig } from './config.js'
import { readModelConfig } from './read-config.js'
import { weightFiles } from './weight-files.js'

export interface BaseIdentity {
  /** SHA-256 of what config.json means to the engine: spelling, order and fields that nothing reads do not count. */
  readonly config: string
  /** SHA-256 of the weights' files. */
  readonly weights: string
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** SHA-256 of what a config means. */
export function configHash({ description, storedQuantization }: ModelConfig): string {
  return sha256(canonicalJson({ description, storedQuantization: storedQuantization ?? null }))
}

async function hashOf(path: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash, { ...(signal && { signal }) })
  } catch (error) {
    signal?.throwIfAborted()
    throw ioError(error, `cannot read '${path}'`)
  }
  return hash.digest('hex')
}

/**
 * Reads every byte of the weights once, in pieces.
 * @param model - as `loadModel` takes it.
 * @throws FedloraError `E_MISSING`, `E_FORMAT`, `E_CONFIG`, `E_UNSUPPORTED`, `E_IO`; the signal's reason.
 */
export async function identifyBase(model: string, signal?: AbortSignal): Promise<BaseIdentity> {
  const { folder, file } = await findModel(model)
  const config = configHash(await readModelConfig(model))
  const hashes: string[] = []
  for (const path of await weightFiles(folder, file)) hashes.push(await hashOf(path, signal))
  const [only] = hashes
  return { config, weights: hashes.length === 1 ? only! : sha256(hashes.map((hash) => `${hash}\n`).join('')) }
}
