/** The steps of a federation's server, one after the other: rounds, or the buffers of an asynchronous federation. */
import type { ClientReport, RoundEvent } from '../events.js'
import { startBuffers } from '../protocol/buffers.js'
import { startRounds } from '../protocol/rounds.js'
import { runBuffer } from './buffer.js'
import { runRound } from './round.js'
import type { RoundTools } from './tools.js'

export interface Steps {
  readonly done: boolean
  /** Gives the event of the next step, and the indices of those whose work counted. */
  next(
    signal: AbortSignal,
    onClient: (report: ClientReport & { tokensPerSecond: number }) => void,
  ): Promise<{ event: RoundEvent; counted: number[] }>
}

function rounds(tools: RoundTools): Steps {
  const owing = Object.fromEntries((tools.waiting?.all ?? []).map(({ client, round }) => [client, round]))
  let state = startRounds(tools.config.rounds, tools.server.round, owing)
  return {
    get done() {
      return state.phase === 'done'
    },
    async next(signal, onClient) {
      const { rounds: after, ...step } = await runRound(tools, state, signal, onClient)
      state = after
      return step
    },
  }
}

function buffers(tools: RoundTools): Steps {
  const { clock, waiting, config, server } = tools
  const { buffer: goal, maxStaleness = null } = config.asynchronous!
  const working = Object.fromEntries(waiting!.all.map(({ client, round }) => [client, round - 1]))
  let state = startBuffers(config.rounds, { goal, maxStaleness }, server.round, working)
  return {
    get done() {
      return state.phase === 'done'
    },
    async next(signal, onClient) {
      const { state: after, ...step } = await runBuffer(
        { ...tools, clock: clock!, waiting: waiting! },
        state,
        signal,
        onClient,
      )
      state = after
      return step
    },
  }
}

/** After the server's last complete step. */
export const stepsOf = (tools: RoundTools): Steps =>
  tools.config.asynchronous === undefined ? rounds(tools) : buffers(tools)
