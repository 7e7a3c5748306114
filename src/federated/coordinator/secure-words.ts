/** What a secure aggregation waits for, in words, as people are shown it. */
import { type SpokenPhase, silentIn, underWay } from './secure-state.js'
import type { State } from './state.js'

const words: Readonly<Record<SpokenPhase, { done: string; awaited: string }>> = {
  keys: { done: 'have said their keys', awaited: 'the keys' },
  shares: { done: 'have shared their secrets', awaited: 'the shares' },
  signed: { done: 'have signed who is in the sum', awaited: 'the signatures' },
  revealed: { done: 'have given what takes the masks off', awaited: 'the opened shares' },
}

/** Undefined: no phase is under way, or the work is. @param some - names as people say them. */
export function phaseWords(state: State, some: (names: readonly string[]) => string): string | undefined {
  const secure = underWay(state)
  if (secure === undefined || secure.phase === 'masked') return undefined
  const phase = secure.phase as SpokenPhase
  const silent = silentIn(state)
  const spoken = secure.said[phase].size
  const { done, awaited } = words[phase]
  return `${spoken} of ${spoken + silent.length} ${done}; waits for ${awaited} of ${some(silent)}`
}
