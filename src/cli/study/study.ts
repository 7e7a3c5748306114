/** What a study is: settings × arms × seeds, each of them a federation with the same budget; and what one of them came to. */
import type { Dataset } from '../../data/dataset.js'
import type { Tokenizer } from '../../data/tokenizer/tokenizer.js'
import type { AlgorithmInput } from '../../federated/algorithms/index.js'
import type { FederationOptions } from '../../federated/options.js'
import type { ClientData } from '../../federated/simulate/clients.js'

/** Who trains: one way of giving the rows to clients. */
export interface Setting {
  name: string
  clients(rows: Dataset, seed: number): ClientData[]
  /** Clients that lie. */
  attackers?: NonNullable<FederationOptions['attackers']>
  /** Rows of what an attacker wants the adapter to say; undefined where held-out rows have none. */
  wanted?(heldOut: Dataset, tokenizer: Tokenizer): Promise<Dataset>
}

/** How they train together. */
export interface Arm {
  name: string
  algorithm: AlgorithmInput
  /** How vectors travel; default: as float32. */
  traffic?: Pick<FederationOptions, 'upload' | 'download'>
  /** What stands in for the mean of updates; default: nothing. */
  robust?: FederationOptions['robust']
}

export interface Budget {
  seeds: number
  rounds: number
  /** Optimiser steps of a client in a round. */
  steps: number
  batchSize: number
  /** Rows of each kind of arithmetic, training and tests together. */
  rowsEach: number
  /** Held-out rows that every round is judged by. */
  heldOut: number
}

export interface Study {
  name: string
  title: string
  /** What it asks, for the report. */
  question: string
  rank: number
  /** Whether clients are measured on rows of their own, too; default true. */
  personal?: boolean
  settings: readonly Setting[]
  arms: readonly Arm[]
  full: Budget
  quick: Budget & { settings: readonly string[]; arms: readonly string[] }
}

/** One federation of a study. */
export interface Trial {
  setting: string
  arm: string
  seed: number
  /** By round, from 1: loss of the server's adapter on the held-out rows, and the aggregation error. */
  losses: number[]
  errors: (number | null)[]
  /** By round: mean over the clients of the loss of the adapter that each is served by, on its own test rows. */
  personal: number[]
  bytesUp: number
  bytesDown: number
  /** Of the same vectors as float32. */
  bytesUpRaw: number
  bytesDownRaw: number
  seconds: number
  /** Share of the tokens of what an attacker wants that the server's adapter says in the end; absent where no attacker wants any. */
  obeyed?: number
}

/** Mean and sample standard deviation (0 for one value). */
export function overSeeds(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 }
}
