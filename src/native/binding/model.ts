/** A loaded model: mirror of `native/napi/model.cpp`. */
import type { AdapterLayer, NativeAdapter } from './adapter.js'
import type { TokenBatch } from './batch.js'
import type { GenerationOptions, NativeGeneration } from './generation.js'
import type { ModelMemory } from './load.js'
import type { MemoryPlan, PlanRequest } from './plan.js'
import type { SessionStep, StepOutcome } from './session.js'

export interface EvaluationSums {
  lossSum: number
  /** The part of each row. */
  rowLosses: Float64Array
  correct: number
  supervised: number
  tokens: number
}

/** Calls of one operator and the seconds they took. */
export interface ProfileEntry {
  op: string
  calls: number
  seconds: number
}

export interface NativeModel {
  readonly memory: ModelMemory
  /** Adaptable linear layers, in forward order. */
  linears(): { module: string; shape: [number, number]; format: string; doubleQuantization: boolean }[]
  /** Tensors of the checkpoint that the description has no use for. */
  unused(): string[]
  plan(request: PlanRequest): MemoryPlan
  createAdapter(layers: AdapterLayer[], seed: number): NativeAdapter
  /** Flat logits [Σ lengths, V]. */
  logits(adapter: NativeAdapter | null, ids: Int32Array, lengths: Int32Array): Promise<Float32Array>
  evaluate(adapter: NativeAdapter | null, batch: TokenBatch): Promise<EvaluationSums>
  generate(adapter: NativeAdapter | null, options: GenerationOptions): NativeGeneration
  /**
   * One optimiser step of each session, their micro-batches side by side in passes of up to `mostTokens` tokens (a larger one goes
   * alone). Each session gets the bits, or the failure, of its own `step`. Cancelling one of them stops all.
   */
  stepTogether(steps: SessionStep[], mostTokens: number): Promise<StepOutcome[]>
  /** Calls and seconds of each operator so far; empty unless `FEDLORA_PROFILE` was set when the model was loaded. */
  profile(): ProfileEntry[]
  dispose(): void
}
