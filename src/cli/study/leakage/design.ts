/** What the study of leakage tries: arms against which attacks are run, and its sizes. */
import { compressed, noised, nothing, type Protection, summed } from './protections.js'
import type { Work } from './victims.js'

export interface Arm {
  name: string
  protection: Protection
  /** How a client whose tokens are sought makes its update. */
  work: Work
}

const gradient: Work = { optimizer: 'sgd', maxSteps: 1 }

const behind = (protection: Protection): Arm => ({ name: protection.name, protection, work: gradient })
const by = (name: string, work: Work): Arm => ({ name, protection: nothing, work })

export const arms: readonly Arm[] = [
  behind(nothing),
  by('4 steps of SGD', { optimizer: 'sgd', maxSteps: 4 }),
  by('1 step of AdamW', { optimizer: 'adamw', maxSteps: 1 }),
  by('4 steps of AdamW', { optimizer: 'adamw', maxSteps: 4 }),
  behind(compressed('int4', { codec: 'int4' })),
  behind(compressed('top-k, 1/8', { codec: 'topk', density: 1 / 8, bits: 4 })),
  behind(compressed('top-k, 1/64', { codec: 'topk', density: 1 / 64, bits: 4 })),
  behind(summed(2)),
  behind(summed(4)),
  behind(noised(1e-4)),
  behind(noised(1e-3)),
  behind(noised(1e-2)),
]

export interface Sizes {
  arms: readonly string[]
  /** Clients that are attacked one after the other for their tokens. */
  victims: number
  /** Ranks and lengths of rows for the chart. */
  ranks: readonly number[]
  lengths: readonly number[]
  /** Repetitions of the attack on membership; its clients' rows, others, and steps of AdamW. */
  seeds: number
  members: number
  others: number
  steps: number
}

export const rank = 16
/** Tokens of a row under attack: by what the first round's B and a later round's A can betray at that rank. */
export const lengths = { first: 12, later: 24 }
export const batchSize = 8

export const full: Sizes = {
  arms: arms.map(({ name }) => name),
  victims: 8,
  ranks: [4, 8, 16, 32],
  lengths: [8, 16, 24, 32, 48, 64, 96, 128],
  seeds: 3,
  members: 96,
  others: 200,
  steps: 72,
}

export const quick: Sizes = {
  arms: ['nothing', '1 step of AdamW', 'top-k, 1/64', 'secure aggregation of 2', 'clipping and noise 0.01'],
  victims: 3,
  ranks: [rank],
  lengths: [8, 24, 48, 96],
  seeds: 1,
  members: 24,
  others: 100,
  steps: 18,
}
