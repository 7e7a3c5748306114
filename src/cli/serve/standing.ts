/** How a federation stands, as people read it at a terminal. */
import { formatBytes } from '../../errors/describe.js'
import type { ClientStanding, Standing } from '../../federated/link/standing.js'
import { figure } from '../follow.js'
import { formatSeconds, formatTable, formatTime } from '../words.js'

const ago = (time: number | null) => (time === null ? '–' : `${formatSeconds((Date.now() - time) / 1000)} ago`)

function doing({ state, step, steps, why }: ClientStanding): string {
  if (state === 'working' && steps) return `working, step ${step} of ${steps}`
  const told = state === 'declined' || state === 'failed'
  return told && why !== undefined ? `${state}: ${why}` : state
}

export function clientsTable({ clients }: Standing): string {
  if (clients.length === 0) return 'nobody has been invited yet: fedlora federation invite --name NAME'
  return formatTable([
    ['client', 'last seen', 'counted', 'sent', 'at'],
    ...clients.map((client) => [
      client.name,
      ago(client.seen),
      String(client.counted),
      formatBytes(client.bytesUp),
      doing(client),
    ]),
  ])
}

export function standingLines(standing: Standing, runs: boolean): string[] {
  const { name, state, waitsFor, round, rounds, deadline, history, bytesUp, bytesDown, privacy, problems } = standing
  const unit = standing.buffer === undefined ? 'rounds' : 'steps'
  const last = history.findLast(({ loss }) => loss !== null)
  const closes = deadline === null ? '' : ` · closes ${formatTime(deadline)}`
  const lines = [
    `"${name}": ${state}${runs ? '' : ', and its server does not run'}${waitsFor === '' ? '' : `: ${waitsFor}`}${closes}`,
    `${round} of ${rounds} ${unit} · loss ${figure(last?.loss, 4)} · up ${formatBytes(bytesUp)} · down ${formatBytes(bytesDown)}`,
  ]
  if (privacy !== undefined) {
    const spent = privacy.epsilon === null ? 'nothing is private: no noise' : `ε ${privacy.epsilon.toFixed(3)}`
    lines.push(`privacy: ${spent}${privacy.budget === undefined ? '' : ` of ${privacy.budget}`} at δ ${privacy.delta}`)
  }
  const stalenesses = history.at(-1)?.stalenesses
  if (stalenesses !== undefined) lines.push(`answers of the last step: ${stalenesses.join(', ')} steps behind`)
  for (const { at, code, words, client } of problems.slice(-5)) {
    lines.push(`${ago(at)}: ${client === undefined ? '' : `${client}: `}${words} (${code})`)
  }
  return lines
}
