/** What a client does in a round whose rows are hidden: its rate, its steps, and the noise that they get. */
import type { Dataset } from '../../data/index.js'
import { totalStepsOf } from '../../training/loop.js'
import type { FederationConfig } from '../options.js'
import type { PrivacyConfig } from '../privacy-options.js'
import type { PrivateWork } from './trainer.js'

/** A client's rate and steps of a round. */
export type Share = Pick<PrivateWork, 'sampleRate' | 'steps' | 'expectedExamples'>

/**
 * @param refuse - throws: `field` is the option that cannot be, `message` says why.
 */
export function shareOf(
  { name, data, local }: { name: string; data: Dataset; local: FederationConfig['local'] },
  { delta }: Pick<PrivacyConfig, 'delta'>,
  refuse: (message: string, field: string) => never,
): Share {
  const { batchSize, gradientAccumulation, packing, shuffle, maxGradNorm, steps: maxSteps, epochs } = local
  const field = (what: string, why: string) =>
    refuse(`local.${what} of client ${name} and privacy exclude each other: ${why}`, `local.${what}`)
  if (packing) field('packing', 'which rows fit beside a row depends on them')
  if (!shuffle) field('shuffle', 'false is an order, and private steps draw rows at random')
  if (maxGradNorm !== 0 && maxGradNorm !== 1)
    field('maxGradNorm', "privacy.clip bounds every row's gradient; leave it out")
  const rows = data.length
  if (delta >= 1 / rows) {
    refuse(
      `privacy.delta: got ${delta}, but client ${name} has ${rows} rows: from 1/${rows} on, giving one of them away would pass`,
      'privacy.delta',
    )
  }
  const expectedExamples = Math.min(rows, batchSize * gradientAccumulation)
  const recipe = { ...local, seed: 0, maxSteps, epochs, schedule: () => 1 }
  return { sampleRate: expectedExamples / rows, expectedExamples, steps: totalStepsOf(data, recipe) }
}

/** The steps of a client with that much noise. */
export function privateWork(
  { clip, delta, accountant, noise }: PrivacyConfig,
  share: Share,
  noiseMultiplier: number,
): PrivateWork {
  return { ...share, clip, delta, accountant, noise, noiseMultiplier }
}
