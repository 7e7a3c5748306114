/** The devices of a federation's clients: drawn from their laws, or as a trace has them. */
import { createHash } from 'node:crypto'
import { FedloraError } from '../../../errors.js'
import type { ClockConfig } from '../../clock-options.js'
import { streamOf, uniform } from '../../protocol/random.js'
import { type Availability, always, partOfPeriod } from './availability.js'
import { draw } from './draws.js'
import type { Device } from './part.js'
import { readTrace } from './trace.js'

export interface Devices {
  /** A client's device in a round (from 1). */
  of(client: string, round: number): Device
  /** Whether some client does not always work. */
  readonly windows: boolean
  /** SHA-256 over a trace; null where devices are drawn, which the options and the seed decide. */
  readonly fingerprint: string | null
}

/** Devices by the laws of the options. */
export function drawnDevices(clock: ClockConfig, seed: number): Devices {
  const { compute = 1000, bandwidth = 1e6, latency = 0, availability, redraw } = clock
  const split = typeof bandwidth === 'object' && 'up' in bandwidth
  const { up, down } = split ? bandwidth : { up: bandwidth, down: bandwidth }
  const availabilityOf = (client: string): Availability => {
    if (availability === undefined) return always
    const { period, share } = availability
    return partOfPeriod(period, share, uniform(seed, 'clock', 0, streamOf(JSON.stringify([client, 'availability']))))
  }
  return {
    of(client, round) {
      const at = (what: string) => ({ seed, client, what, round: redraw ? round : 0 })
      return {
        compute: draw(compute, at('compute')),
        // One law for both ways is one link: one draw.
        up: draw(up, at(split ? 'up' : 'link')),
        down: draw(down, at(split ? 'down' : 'link')),
        latency: latency === 0 ? 0 : draw(latency, at('latency')),
        availability: availabilityOf(client),
      }
    },
    windows: availability !== undefined,
    fingerprint: null,
  }
}

/**
 * Devices of a trace.
 * @param names - of the clients.
 * @throws FedloraError `E_CONFIG` when a client has no row, or a row no client.
 */
function tracedDevices(trace: ReadonlyMap<string, Device>, names: readonly string[], path: string): Devices {
  const known = new Set(names)
  const bare = names.find((name) => !trace.has(name))
  if (bare !== undefined) {
    const message = `clock.trace: '${path}' has no row for client '${bare}', expected one for each; add it, or leave the trace out`
    throw new FedloraError('E_CONFIG', message, { client: bare })
  }
  const stranger = [...trace.keys()].find((name) => !known.has(name))
  if (stranger !== undefined) {
    const shown = `${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`
    const message = `clock.trace: '${path}' has a row for '${stranger}', who is no client; their names are ${shown}`
    throw new FedloraError('E_CONFIG', message, { client: stranger })
  }
  const rows = [...names].sort().map((name) => [name, trace.get(name)!])
  const text = JSON.stringify(rows, (_, value) => (value === Number.POSITIVE_INFINITY ? 'never' : value))
  const fingerprint = createHash('sha256').update(text).digest('hex')
  const windows = [...trace.values()].some((device) => device.availability !== always)
  return { of: (client) => trace.get(client)!, windows, fingerprint }
}

/** @throws FedloraError as `readTrace` and `tracedDevices`. */
export async function openDevices(clock: ClockConfig, seed: number, names: readonly string[]): Promise<Devices> {
  if (clock.trace === undefined) return drawnDevices(clock, seed)
  return tracedDevices(await readTrace(clock.trace), names, clock.trace)
}
