/** What people are told while this machine takes part in a federation. */
import { formatBytes } from '../../errors/describe.js'
import type { ParticipantEvent } from '../../federated/participant/events.js'
import { figure } from '../follow.js'
import type { Output } from '../output.js'
import { formatSeconds } from '../words.js'

/** A line for every event that is worth one, and what is waited for on the progress line. */
export function joinTeller(output: Output): (event: ParticipantEvent) => void {
  let rounds = 0
  let waited = ''
  return (event) => {
    if (event.type !== 'waiting') waited = ''
    switch (event.type) {
      case 'joined': {
        rounds = event.rounds
        const gone = event.settled === 0 ? '' : `, going on after round ${event.settled}`
        return output.text(`joined "${event.name}": ${event.rounds} rounds${gone}`)
      }
      case 'waiting': {
        const label = event.for === 'server' ? `waiting for the server: ${event.why}` : `waiting: ${event.why}`
        output.status({ label })
        if (label !== waited && event.for === 'eligibility') output.text(label)
        waited = label
        return
      }
      case 'work':
        return output.text(`round ${event.round}/${event.rounds}: works (${event.algorithm})`)
      case 'step':
        return output.status({
          label: `round ${event.round}/${rounds}`,
          details: [`step ${event.step}/${event.steps}`, `loss ${figure(event.loss, 4)}`],
          event: { phase: 'step', done: event.step, total: event.steps },
        })
      case 'sent':
        return output.text(
          `round ${event.round}: sent ${formatBytes(event.bytes)} · loss ${figure(event.loss, 4)}` +
            (event.epsilon === undefined ? '' : ` · ε ${event.epsilon.toFixed(3)} spent of the rows here`),
        )
      case 'outcome': {
        const why = event.why === undefined ? '' : `: ${event.why}`
        return output.text(`round ${event.round}: ${event.counted ? 'counted' : `did not count${why}`}`)
      }
      case 'declined':
        return output.text(`round ${event.round}: declined: ${event.why}`)
      case 'failed':
        return output.note(`round ${event.round}: ${event.code}: ${event.why}; waits for the next round`)
      case 'retry':
        return output.note(`${event.code}: ${event.why}; asks again in ${formatSeconds(Math.ceil(event.seconds))}`)
      case 'warning':
        return output.note(event.message)
      case 'over': {
        const why = event.why === undefined ? '' : `: ${event.why}`
        return output.text(
          `the federation has ended after ${event.rounds} rounds${why}; ${event.counted} answers of this client counted`,
        )
      }
    }
  }
}
