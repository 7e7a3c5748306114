/** The two values between server and client: what is asked, and what comes back. */

/** The work of one client in one round. */
export interface Task {
  round: number
  /** Index of the client. */
  client: number
  /** The adapter to start from, as it arrived. */
  adapter: Float32Array
  learningRate: number
  /** Of row orders and dropout. */
  seed: number
}

export interface Answer {
  client: number
  /** Rows it trains on: its weight in the mean. */
  rows: number
  steps: number
  tokens: number
  /** Mean over the supervised tokens of its steps; null when they held none: such an answer teaches nothing and weighs nothing. */
  loss: number | null
  /** The encoded update; null without a loss. */
  message: Uint8Array | null
}
