/** What a Fleet server refuses, as coded errors. `details.status` and `details.fleetCode` say what it answered. */
import { FedloraError } from '../../errors.js'
import type { FleetMethod } from '../wire/fleet.js'
import type { Answer } from './post.js'

/** Codes of the server that decide what happens next. */
export const fleetCodes = {
  keyInUse: 23,
  registrationByOperator: 2001,
  activationRefused: 2004,
  runNotRunning: 2007,
} as const

/** Statuses after which the same request may succeed. 500: a server in trouble, except where `push-messages` gets it. */
const passing = new Set([408, 429, 500, 502, 503, 504])

/** `{code, detail}` or `{detail}` of a refusal, as far as the body is that. */
function readRefusal(body: Buffer): { code?: number; detail: string } {
  try {
    const { code, detail } = JSON.parse(body.toString('utf8')) as { code?: unknown; detail?: unknown }
    const known = Number.isInteger(code) ? { code: code as number } : {}
    return { ...known, detail: typeof detail === 'string' ? detail.slice(0, 500) : '' }
  } catch {
    return { detail: '' }
  }
}

/** Why a signature was refused. The server takes stamps from 5 s ahead of its clock to 300 s behind it. */
function unauthenticated(said: string, details: object, date: Date | undefined, now: Date): FedloraError {
  const ahead = date === undefined ? 0 : Math.round((now.getTime() - date.getTime()) / 1000)
  if (ahead > 4 || ahead < -295) {
    const off = ahead > 0 ? `${ahead} s ahead of` : `${-ahead} s behind`
    const message = `${said}; the clock of this machine is ${off} the server's: set it right`
    return new FedloraError('E_CLOCK', message, { ...details, ahead })
  }
  const cure =
    "is this node's public key registered there (flwr supernode register KEY.pub), and this machine's clock right?"
  return new FedloraError('E_AUTH', `${said}; ${cure}`, { ...details })
}

export function refusalOf(method: FleetMethod, answer: Answer, now: Date): FedloraError {
  const { status, body, date } = answer
  const { code: fleetCode, detail } = readRefusal(body)
  const said = `flower: ${method}: the server answers ${status}${fleetCode === undefined ? '' : `, code ${fleetCode}`}${detail && `: ${detail}`}`
  const details = { method, status, ...(fleetCode !== undefined && { fleetCode }) }
  if (status === 401) return unauthenticated(said, details, date, now)
  if (status === 403 && fleetCode === fleetCodes.runNotRunning) return new FedloraError('E_RUN_OVER', said, details)
  if (passing.has(status) && !(status === 500 && method === 'push-messages')) {
    return new FedloraError('E_UNREACHABLE', said, { ...details, retry: true })
  }
  if (fleetCode === undefined && status !== 500) {
    const cure = 'is it a Flower SuperLink of version 1.40 to 1.43, and the URL that of its port?'
    return new FedloraError('E_PROTOCOL', `${said}; ${cure}`, details)
  }
  return new FedloraError('E_PROTOCOL', said, details)
}

/** Whether an error is the server's refusal with this status, and this code when one is given. */
export function isRefusal(error: unknown, status: number, fleetCode?: number): boolean {
  const details = error instanceof FedloraError ? error.details : {}
  return details.status === status && (fleetCode === undefined || details.fleetCode === fleetCode)
}
