/** Who runs the optimiser steps of a run: the run itself, or a team of runs over one model whose steps share their passes. */
import type { NativeModel, NativeSession, PrivateStep, StepResult, TokenBatch } from '../native/binding.js'
import { toFedloraError } from '../native/guard.js'

export interface StepRequest {
  model: NativeModel
  session: NativeSession
  batches: TokenBatch[]
  learningRate: number
  /** Default: the step is not private. */
  privacy?: PrivateStep | undefined
  /** Stops the step between micro-batches; the result is then `cancelled` and nothing has changed. */
  signal: AbortSignal
}

export interface TimedStep extends StepResult {
  /** Of the machine: a pass that others shared counts by the share of its tokens. */
  seconds: number
}

export interface Stepper {
  /** @throws FedloraError what the native step throws. */
  step(request: StepRequest): Promise<TimedStep>
}

const cancelled: TimedStep = {
  loss: 0,
  gradNorm: 0,
  tokens: 0,
  supervised: 0,
  examples: 0,
  clipped: 0,
  cancelled: true,
  seconds: 0,
}

/** Runs `work` so that an abort of one of the requests stops the native step. */
async function cancellable<R>(requests: readonly StepRequest[], work: () => Promise<R>): Promise<R> {
  const listeners = requests.map(({ signal, session }) => {
    const cancel = () => session.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    return () => signal.removeEventListener('abort', cancel)
  })
  try {
    return await work()
  } finally {
    for (const off of listeners) off()
  }
}

/** Every step by itself. */
export const alone: Stepper = {
  async step(request) {
    const { session, batches, learningRate, privacy } = request
    const started = performance.now()
    const result = await cancellable([request], () => session.step(batches, learningRate, privacy))
    return { ...result, seconds: (performance.now() - started) / 1000 }
  },
}

interface Waiting {
  request: StepRequest
  /** Where the caller stood, for its failure. */
  trace: Error
  resolve(result: TimedStep): void
  reject(error: unknown): void
}

/**
 * Runs in lockstep: when every member waits for its next step, all steps are taken together. A member may end one run and begin another;
 * the others wait for it until it leaves. Each run gets the bits and the failures that it would get alone.
 */
export class Lockstep implements Stepper {
  readonly #mostTokens: number
  #members: number
  #waiting: Waiting[] = []

  /** @param mostTokens - of a pass that micro-batches of several members share. */
  constructor(members: number, mostTokens: number) {
    this.#members = members
    this.#mostTokens = mostTokens
  }

  async step(request: StepRequest): Promise<TimedStep> {
    const trace = new Error()
    const { signal } = request
    let withdraw = () => {}
    try {
      return await new Promise<TimedStep>((resolve, reject) => {
        const waiting = { request, trace, resolve, reject }
        withdraw = () => {
          const at = this.#waiting.indexOf(waiting)
          if (at < 0) return // the step is under way: the pass is told to stop
          this.#waiting.splice(at, 1)
          resolve(cancelled)
        }
        if (signal.aborted) return resolve(cancelled)
        signal.addEventListener('abort', withdraw, { once: true })
        this.#waiting.push(waiting)
        this.#begin()
      })
    } finally {
      signal.removeEventListener('abort', withdraw)
    }
  }

  /** One member takes no further steps. */
  leave(): void {
    this.#members--
    this.#begin()
  }

  #begin(): void {
    if (this.#waiting.length === 0 || this.#waiting.length < this.#members) return
    const group = this.#waiting
    this.#waiting = []
    void this.#run(group).catch((error) => {
      for (const { reject, trace } of group) reject(toFedloraError(error, trace))
    })
  }

  async #run(group: Waiting[]): Promise<void> {
    const requests = group.map(({ request }) => request)
    const started = performance.now()
    const outcomes = await cancellable(requests, () =>
      requests[0]!.model.stepTogether(
        requests.map(({ session, batches, learningRate, privacy }) => ({ session, batches, learningRate, privacy })),
        this.#mostTokens,
      ),
    )
    const seconds = (performance.now() - started) / 1000
    const tokens = outcomes.reduce((sum, outcome) => sum + outcome.tokens, 0)
    for (const [i, { error, ...result }] of outcomes.entries()) {
      const waiting = group[i]!
      if (error !== undefined) waiting.reject(toFedloraError(error, waiting.trace))
      // One member's abort stops the pass for all; who was not meant begins the same step again.
      else if (result.cancelled && !waiting.request.signal.aborted) this.#waiting.push(waiting)
      else waiting.resolve({ ...result, seconds: tokens === 0 ? 0 : (seconds * result.tokens) / tokens })
    }
    this.#begin()
  }
}
