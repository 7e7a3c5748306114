/** Virtual time and what a target cost, as people read it. */
import { formatBytes } from '../errors/describe.js'
import type { CostToTarget } from '../federated/cost.js'
import type { RoundTime } from '../federated/events.js'
import type { Flag } from './arguments.js'
import { formatCount, formatSeconds } from './words.js'

export const targetFlag: Flag = {
  type: 'number',
  value: 'LOSS',
  description: 'held-out loss: says what it cost to reach it in time, bytes and FLOP',
}

/** A round's time in a line. */
export function timeLine({ start, end, clients, joules }: RoundTime): string {
  const by = (outcome: string) => clients.filter((client) => client.outcome === outcome).length
  const missing = (['late', 'stale', 'refused', 'absent', 'unavailable'] as const).flatMap((outcome) =>
    by(outcome) === 0 ? [] : [`${by(outcome)} ${outcome}`],
  )
  return [
    `virtual time ${formatSeconds(start)} → ${formatSeconds(end)}`,
    `${by('counted')} answers`,
    ...missing,
    `${formatCount(joules)} J`,
  ].join(' · ')
}

/** What it cost to reach a loss; null: it was not reached. */
export function costLine(target: number, cost: CostToTarget | null): string {
  if (cost === null) return `held-out loss ${target}: not reached`
  const { round, seconds, clientHours, bytesUp, bytesDown, flop } = cost
  return [
    `held-out loss ${target}: reached after round ${round}`,
    ...(seconds === null ? [] : [`virtual time ${formatSeconds(seconds)}`]),
    `up ${formatBytes(bytesUp)}`,
    `down ${formatBytes(bytesDown)}`,
    `${formatCount(flop)} FLOP`,
    ...(clientHours === null ? [] : [`${clientHours.toPrecision(3)} client-hours`]),
  ].join(' · ')
}
