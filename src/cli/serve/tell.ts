/** What people are told while a server runs: who comes and goes, what is waited for, and what every round came to. */
import { formatBytes } from '../../errors/describe.js'
import type { CoordinatorEvent } from '../../federated/coordinator/events.js'
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

function roundLine({
  round,
  rounds,
  loss,
  clients,
  bytesUp,
  bytesDown,
  compressionRatio,
  seconds,
  abandoned,
}: RoundEvent): string {
  if (abandoned !== undefined) return `round ${round}/${rounds} was abandoned: ${abandoned}`
  return (
    `round ${round}/${rounds}: loss ${figure(loss, 4)} · ${clients.length} counted · up ${formatBytes(bytesUp)} (${figure(compressionRatio, 1)}×) · ` +
    `down ${formatBytes(bytesDown)} · ${formatSeconds(seconds.total)}`
  )
}

/** Follows a federation's events; `waitsFor` is what it says that it waits for (`Standing`). */
export function serveTeller(output: Output, waitsFor: () => string): (event: CoordinatorEvent) => void {
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
        output.text(`round ${event.round}/${event.rounds}: asks ${named(event.clients)}${until}`)
        break
      }
      case 'client':
        output.text(
          `  ${event.name}: loss ${figure(event.loss, 4)} · ${event.rows} rows · ${formatBytes(event.bytesUp)}`,
        )
        break
      case 'refused':
      case 'failed':
      case 'declined':
        output.text(`  ${event.name}: ${event.type}: ${event.message} (${event.code})`)
        break
      case 'round': {
        output.text(roundLine(event))
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
