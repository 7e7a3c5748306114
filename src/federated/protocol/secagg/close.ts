/** The ends of a secure aggregation's phases: whoever has not spoken is lost, and the others are told what the next phase needs. */
import { FedloraError } from '../../../errors.js'
import { secaggVersion, type ToClient } from './messages.js'
import { checkState, refuse } from './refuse.js'
import { type AggregationState, peersIn, revealedOf, saying } from './server.js'

/** The next state, and what each client is told. */
export interface Closed {
  readonly state: AggregationState
  readonly messages: readonly ToClient[]
}

/** Why a round cannot go on with these: somebody has fewer peers among them than the threshold, or there are too few at all. */
function shortage(state: AggregationState, those: readonly number[], doing: string): string | undefined {
  const { threshold } = state.setup
  if (those.length <= threshold)
    return `${those.length} clients ${doing}, expected more than ${threshold}, the threshold`
  for (const client of those) {
    const count = peersIn(state, client, those).length
    if (count < threshold)
      return `client ${client} has ${count} peers that ${doing}, expected at least ${threshold}, the threshold`
  }
}

/** Peers that hold shares of a client, could open them, and still take part. */
const holders = (state: AggregationState, client: number, those: readonly number[]) =>
  peersIn(state, client, those).filter((peer) => !state.damaged[peer]?.includes(client))

/**
 * Whose secrets cannot be put together: survivors' seeds, and mask keys of the lost that have masks with a survivor.
 * @param count - shares that there are, or will be, of a client's secret.
 */
function unopened(
  state: AggregationState,
  count: (client: number, kind: 'seeds' | 'maskKeys') => number,
): string | undefined {
  const { survivors, setup } = state
  for (const client of saying(state.shares)) {
    const lost = !survivors.includes(client)
    if (lost && peersIn(state, client, survivors).length === 0) continue
    const shares = count(client, lost ? 'maskKeys' : 'seeds')
    if (shares < setup.threshold) {
      return `${shares} shares of client ${client}${lost ? ', which was lost,' : ''} are left, expected at least ${setup.threshold}, the threshold`
    }
  }
}

const abandon = (state: AggregationState, why: string): Closed => ({
  state: { ...state, phase: 'abandoned', abandoned: why },
  messages: [],
})

/**
 * Ends a phase: whoever has not spoken is lost. The round is abandoned when somebody would have fewer peers than the threshold.
 * @throws FedloraError `E_ARGUMENT` when there is no phase to end.
 */
export function close(state: AggregationState): Closed {
  checkState(state)
  const { phase, setup, keys, shares, survivors, signed } = state
  const { run, round } = setup
  const header = (client: number) => ({ version: secaggVersion, run, round, client }) as const
  const proceed = (
    next: AggregationState['phase'],
    those: readonly number[],
    lack: string | undefined,
    tell: (client: number) => ToClient,
  ): Closed =>
    lack === undefined ? { state: { ...state, phase: next }, messages: those.map(tell) } : abandon(state, lack)
  switch (phase) {
    case 'keys': {
      const those = saying(keys)
      return proceed('shares', those, shortage(state, those, 'have said their keys'), (client) => ({
        ...header(client),
        type: 'roster',
        keys: peersIn(state, client, those).map((peer) => keys[peer]!),
      }))
    }
    case 'shares': {
      const those = saying(shares)
      return proceed('masked', those, shortage(state, those, 'have shared their secrets'), (client) => ({
        ...header(client),
        type: 'inbox',
        sealed: peersIn(state, client, those).flatMap((peer) => {
          const parcel = shares[peer]!.sealed.find((one) => one.peer === client)
          return parcel === undefined ? [] : [{ peer, bytes: parcel.bytes }]
        }),
      }))
    }
    case 'masked': {
      const lack =
        shortage(state, survivors, 'have sent their vectors') ??
        unopened(state, (client) => holders(state, client, survivors).length)
      return proceed('signed', survivors, lack, (client) => ({
        ...header(client),
        type: 'survivors',
        survivors: [...survivors],
      }))
    }
    case 'signed': {
      const those = saying(signed)
      const lack =
        shortage(state, those, 'have signed the survivors') ??
        unopened(state, (client) => holders(state, client, those).length)
      return proceed('revealed', those, lack, (client) => ({
        ...header(client),
        type: 'signatures',
        signatures: peersIn(state, client, those).map((peer) => ({ peer, bytes: signed[peer]!.signature })),
      }))
    }
    case 'revealed':
      return proceed(
        'unmask',
        [],
        unopened(state, (client, kind) => revealedOf(state, client, kind).length),
        () => {
          throw refuse('nobody is told the end')
        },
      )
    default:
      throw new FedloraError('E_ARGUMENT', `secure aggregation: no phase is open, the round is at '${phase}'`)
  }
}
