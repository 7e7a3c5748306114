/** A text being generated: its pieces as they come, and what it was in the end. */
import type { FinishReason as NativeFinishReason } from '../native/binding.js'

/** Why a text ended: an end token or a stop string; `maxTokens` or the model's last position; the reader left. */
export type FinishReason = 'stop' | 'length' | 'abort'

export interface GenerationResult {
  /** The whole text. */
  text: string
  finishReason: FinishReason
  usage: {
    /** Tokens of the prompt, special tokens included. */
    promptTokens: number
    /** Tokens generated, an end token included. */
    completionTokens: number
  }
}

/** What is known while the pieces come; the engine fills it in. */
export interface Progress {
  finishReason: FinishReason
  promptTokens: number
  completionTokens: number
}

export const finishReasons: Readonly<Record<NativeFinishReason, FinishReason>> = {
  stop: 'stop',
  length: 'length',
  aborted: 'abort',
}

/**
 * A text being generated. Iterate it for its pieces; `result` is the whole of it and why it ended. The work is done as it is asked for: by
 * the loop, or by `result`, which goes on to the end by itself. Leaving the loop stops the work; `result` then has what there was.
 *
 * ```ts
 * const answer = model.generate('How do I …?', { adapter })
 * for await (const piece of answer) process.stdout.write(piece)
 * const { finishReason, usage } = await answer.result
 * ```
 */
export class Generation implements AsyncGenerator<string, void, undefined> {
  readonly #source: AsyncGenerator<string, void, undefined>
  readonly #progress: Progress
  readonly #pieces: string[] = []
  #read = 0
  #ended = false
  #failure: { error: unknown } | undefined
  /** The loop has had the failure: it gets it once, as from any generator. */
  #told = false
  #pulling: Promise<void> | undefined

  /** @internal Use `model.generate`. */
  constructor(start: (progress: Progress) => AsyncGenerator<string, void, undefined>) {
    this.#progress = { finishReason: 'abort', promptTokens: 0, completionTokens: 0 }
    this.#source = start(this.#progress)
  }

  /** Gets one more piece; callers at the same time wait for the same one. */
  #pull(): Promise<void> {
    this.#pulling ??= this.#source
      .next()
      .then(
        ({ done, value }) => {
          if (done === true) this.#ended = true
          else this.#pieces.push(value)
        },
        (error: unknown) => {
          this.#ended = true
          this.#failure = { error }
        },
      )
      .finally(() => {
        this.#pulling = undefined
      })
    return this.#pulling
  }

  /**
   * The whole text, why it ended, and how many tokens it took.
   * @throws what `model.generate` throws; the signal's reason when aborted.
   */
  get result(): Promise<GenerationResult> {
    return this.#finish()
  }

  async #finish(): Promise<GenerationResult> {
    while (!this.#ended) await this.#pull()
    if (this.#failure !== undefined) throw this.#failure.error
    const { finishReason, promptTokens, completionTokens } = this.#progress
    return { text: this.#pieces.join(''), finishReason, usage: { promptTokens, completionTokens } }
  }

  async next(): Promise<IteratorResult<string, void>> {
    while (this.#read === this.#pieces.length && !this.#ended) await this.#pull()
    if (this.#read < this.#pieces.length) return { done: false, value: this.#pieces[this.#read++]! }
    if (this.#failure !== undefined && !this.#told) {
      this.#told = true
      throw this.#failure.error
    }
    return { done: true, value: undefined }
  }

  async return(): Promise<IteratorResult<string, void>> {
    if (!this.#ended) this.#progress.finishReason = 'abort'
    this.#ended = true
    this.#read = this.#pieces.length
    await this.#source.return()
    return { done: true, value: undefined }
  }

  async throw(error: unknown): Promise<IteratorResult<string, void>> {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
