/** What a loop of differentially private steps needs beside a recipe: how its rows are drawn, and the keys of draws and noise. */
import { createHash, randomBytes } from 'node:crypto'
import type { Batch } from '../data/batches.js'
import type { Dataset } from '../data/dataset.js'
import type { PrivateStep } from '../native/binding.js'
import { poissonRows } from './poisson-rows.js'

/** The keys of one step: of its draw of rows, and of its noise. */
export interface StepKeys {
  rows: Uint8Array
  noise: Uint8Array
}

/** `secure`: from the system's generator; `seeded`: from the run's seed, for tests and runs that are to be repeated bit by bit. */
export type KeySource = 'secure' | 'seeded'

/**
 * Keys of `step`. Secure ones are new at every call and must be written nowhere: who has them takes the noise off again. Seeded ones are
 * as secret as the seed, which a run's folder holds: they protect nobody.
 */
export function stepKeys(source: KeySource, seed: number, step: number): StepKeys {
  const bytes =
    source === 'secure' ? randomBytes(64) : createHash('sha512').update(`fedlora/private-step/${seed}/${step}`).digest()
  return { rows: bytes.subarray(0, 32), noise: bytes.subarray(32) }
}

/** Steps of equal clip and noise. Each row is drawn by itself, so that a step holds `expectedExamples` on average. */
export interface PrivateSteps extends Omit<PrivateStep, 'key'> {
  /** Probability with which a row is drawn. */
  sampleRate: number
  /** Of a step, counted from 1. */
  keysOf(step: number): StepKeys
}

/** The rows of a step, in micro-batches of at most `batchSize`; none when nobody was drawn. */
export function drawBatches(data: Dataset, sampleRate: number, key: Uint8Array, batchSize: number): Batch[] {
  const rows = poissonRows(data.length, sampleRate, key)
  const batches: Batch[] = []
  for (let first = 0; first < rows.length; first += batchSize) {
    const indices = rows.slice(first, first + batchSize)
    batches.push({ indices, samples: indices.map((index) => data.sample(index)) })
  }
  return batches
}
