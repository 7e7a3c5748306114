/** When a client may work. */
export interface Eligibility {
  /** Resolves when it may. @param tell - why not, once for each reason. @throws the signal's reason. */
  wait(signal: AbortSignal, tell: (why: string) => void): Promise<void>
}

/** At any time. */
export const always: Eligibility = { wait: async () => {} }
