/** What a client lacks, of what it says that it knows: the first thing to tell it, or nothing yet. Pure, but for the offer's blobs. */
import type { Known, Notice } from '../link/messages.js'
import type { Buffering } from './buffering.js'
import { type Ended, isOver, type State, waitedRound } from './state.js'

/** The end of a round in which a client worked; undefined: the round has not ended. */
function outcomeFor(state: State, client: string, round: number): Notice | undefined {
  const { rounds, current, buffering } = state
  if (buffering !== undefined) return bufferOutcome(state.ended, buffering, client, round)
  const ended = state.ended[round - 1]
  if (ended !== undefined) {
    const counted = ended.counted.has(client)
    const why = counted ? undefined : (ended.abandoned ?? 'its answer did not come in time, or does not count')
    return { type: 'outcome', round, counted, ...(why !== undefined && { why }) }
  }
  const known = round === rounds.round ? current?.without.get(client) : undefined
  if (known !== undefined) return { type: 'outcome', round, counted: false, why: known.why }
  const asked = round === rounds.round && current?.begun.clients.includes(client)
  return asked ? undefined : { type: 'outcome', round, counted: false, why: 'it was not asked' }
}

/** Without rounds: the end of what a client began in a round, in whichever step that was. */
function bufferOutcome(ended: readonly Ended[], buffering: Buffering, client: string, round: number) {
  const { work, accepted, falls } = buffering
  if (work.get(client)?.round === round || accepted.get(client)?.answer.round === round) return undefined
  const counted = ended.slice(round - 1).some(({ of, counted }) => counted.has(client) && of?.get(client) === round)
  if (counted) return { type: 'outcome', round, counted } as const
  const fall = falls.get(client)
  const why = fall?.round === round ? fall.why : 'its answer does not count'
  return { type: 'outcome', round, counted, why } as const
}

/** What to tell a client now: words, 'work' where there is some for it, or undefined for nothing. */
export function lacks(state: State, client: string, { working }: Known): Notice | 'work' | undefined {
  if (working !== null) return outcomeFor(state, client, working)
  if (waitedRound(state, client) !== undefined) return 'work'
  if (!isOver(state)) return undefined
  return { type: 'over', round: state.ended.length, ...(state.stopped !== undefined && { why: state.stopped }) }
}
