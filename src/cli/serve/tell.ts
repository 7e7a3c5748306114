/** What people are told while a server runs: who comes and goes, what is waited for, and what every round came to. */
import { formatBytes } from '../../errors/describe.js'
import type { AnsweredEvent, CoordinatorEvent, PhaseEvent } from '../../federated/coordinator/events.js'
import type { RoundEvent } from '../../federated/events.js'
import { maskedLine, privacyLine, selectedLine } from '../client-report.js'
import { figure } from '../follow.js'
import type { Output } from '../output.js'
import { formatSeconds, formatTime } from '../words.js'

/** Names as people say them; a long list is cut. */
export function named(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ')
  return names.length > most ? `${shown} and ${names.length - most} more` : shown
}

/** Phases of a secure aggregation as they begin. */
const phaseWords: Readonly<Partial<Record<PhaseEvent['phase'], string>>> = {
  shares: 'secure aggregation: clients share their secrets',
  masked: 'secure aggregation: clients train, and mask what they send',
  signed: 'secure aggregation: clients sign who is in the sum',
  revealed: 'secure aggregation: clients give what takes the masks off',
}

/** Without rounds: how stale an answer is, and how full the buffer. */
function bufferWords({ staleness, buffer }: AnsweredEvent): string {
  if (buffer === undefined) return ''
  return ` · ${staleness} behind · ${buffer.answers} of ${buffer.size} in the buffer`
}

/** Without rounds: how stale the answers of a step were. */
function staleWords(clients: RoundEvent['clients']): string {
  const stalenesses = clients.flatMap(({ staleness }) => (staleness === undefined ? [] : [staleness]))
  return stalenesses.length === 0 ? '' : `, at most ${Math.max(...stalenesses)} behind`
}

/** @param unit - what its steps are called. */
function roundLine(
  { round, rounds, loss, clients, bytesUp, bytesDown, compressionRatio, seconds, abandoned }: RoundEvent,
  unit: Unit,
): string {
  if (abandoned !== undefined) return `${unit} ${round}/${rounds} was abandoned: ${abandoned}`
  return (
    `${unit} ${round}/${rounds}: loss ${figure(loss, 4)} · ${clients.length} counted${staleWords(clients)} · up ${formatBytes(bytesUp)} (${figure(compressionRatio, 1)}×) · ` +
    `down ${formatBytes(bytesDown)} · ${formatSeconds(seconds.total)}`
  )
}

type Unit = 'round' | 'step'

/** Follows a federation's events; `waitsFor` is what it says that it waits for (`Standing`), `unit` what its steps are called. */
export function serveTeller(
  output: Output,
  waitsFor: () => string,
  unit: Unit = 'round',
): (event: CoordinatorEvent) => void {
  const wait = () => {
    if (output.progressShown) output.status({ label: waitsFor() })
  }
  return (event) => {
    switch (event.type) {
      case 'joined':
        output.text(`${event.name} has joined`)
        break
      case 'left':
        output.text(`${event.name} was shut out`)
        break
      case 'begin': {
        const until = event.deadline === null ? '' : `, until ${formatTime(event.deadline)}`
        output.text(`${unit} ${event.round}/${event.rounds}: asks ${named(event.clients)}${until}`)
        break
      }
      case 'phase': {
        const words = phaseWords[event.phase]
        if (words !== undefined) output.text(`  ${words}`)
        break
      }
      case 'client':
        output.text(
          `  ${event.name}: loss ${figure(event.loss, 4)} · ${event.rows} rows · ${formatBytes(event.bytesUp)}${bufferWords(event)}`,
        )
        break
      case 'refused':
      case 'failed':
      case 'declined':
        output.text(`  ${event.name}: ${event.type}: ${event.message} (${event.code})`)
        break
      case 'round': {
        output.text(roundLine(event, unit))
        for (const line of [selectedLine(event), maskedLine(event), privacyLine(event)]) {
          if (line !== undefined) output.text(line)
        }
        break
      }
      case 'evaluation':
        output.text(
          `round ${event.round}: held-out loss ${event.loss.toFixed(4)} · accuracy ${(100 * event.tokenAccuracy).toFixed(2)} %`,
        )
        break
      case 'torn':
        output.note(
          `the journal ended within an append that nobody had been told of: ${event.bytes} bytes of '${event.file}' from byte ${event.byte} on are cut off`,
        )
        break
      case 'pause':
        output.text(`paused by ${event.who}: no further round begins`)
        break
      case 'resume':
        output.text(`${event.who} lets it go on`)
        break
      case 'stop':
        output.text(`ended by ${event.who}`)
        break
      case 'trouble':
        output.note(`${event.code}: ${event.message}; tries again`)
        break
      case 'done':
        return output.endProgress()
    }
    wait()
  }
}
