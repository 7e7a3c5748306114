/** A text being continued: mirror of `native/napi/generation.cpp`. */

export interface GenerationOptions {
  ids: Int32Array
  maxTokens: number
  /** 0: greedy. */
  temperature: number
  /** 0: off. */
  topK: number
  /** 1: off. */
  topP: number
  seed: number
  endIds: Int32Array
}

/** Why a generation ended: an end token; `maxTokens` or the model's last position; `cancel()`. */
export type FinishReason = 'stop' | 'length' | 'aborted'

export interface GeneratedTokens {
  /** An end token is included, as the last one. */
  ids: Int32Array
  done: boolean
  /** Set exactly when `done`. */
  finishReason?: FinishReason
  promptTokens: number
  /** Generated so far, this call's and an end token included. */
  completionTokens: number
}

/**
 * One prompt being continued. Between its calls other work of the model goes on; the adapter may not change: the next call is then
 * `E_BUSY`, and the generation is over.
 */
export interface NativeGeneration {
  /**
   * Up to `count` further tokens, fewer when the generation ends; none after that. The prompt runs with the first call. Tokens made before
   * a failure are given first; the next call fails.
   */
  next(count: number): Promise<GeneratedTokens>
  /** Ends the generation, the prompt's pass included: the call in flight resolves at once with what there is. */
  cancel(): void
  dispose(): void
}
