/** What may measure the global adapter on the server: a model in memory with rows of nobody. The coordinator knows only this of it. */
import { z } from 'zod'
import type { Residual } from '../algorithms/algorithm.js'

/** Mean cross-entropy over the supervised tokens in nats, e to it, the share of them that are the most probable, and their number. */
export const measuredSchema = z.strictObject({
  loss: z.number(),
  perplexity: z.number(),
  tokenAccuracy: z.number(),
  tokens: z.int().min(0),
})
export type Measured = z.output<typeof measuredSchema>

export interface Judge {
  /** Rounds between measurements; 0: only after the last. */
  readonly every: number
  /**
   * Measures an adapter of the server's space. Its values are taken over before this returns: whoever calls may change them then.
   * @throws FedloraError of the evaluation; the signal's reason.
   */
  measure(values: Float32Array, residual: Residual | undefined, signal: AbortSignal): Promise<Measured>
  close(): Promise<void>
}
