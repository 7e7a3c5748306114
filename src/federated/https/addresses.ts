/** By which names a server can be reached: what its certificate vouches for, and what join tokens name. */

import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import type { ListenConfig } from './options.js'

const loopback = ['localhost', '127.0.0.1', '::1']
const isEverywhere = (host: string | undefined): boolean => host === undefined || host === '0.0.0.0' || host === '::'

/** Addresses of this machine that others may reach, those of version 4 first. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const usable = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
  return [...usable.filter(({ family }) => family === 'IPv4'), ...usable.filter(({ family }) => family !== 'IPv4')].map(
    ({ address }) => address,
  )
}

/** Names and addresses of a server's certificate, without repeats; `names` come first. */
export function certificateNames({ host, publicUrl }: ListenConfig, names: readonly string[]): string[] {
  const listened = isEverywhere(host) ? [...ownAddresses(), hostname()] : [host!]
  const asked = publicUrl === undefined ? [] : [new URL(publicUrl).hostname.replace(/^\[|\]$/g, '')]
  const all = [...names, ...asked, ...listened, ...loopback].filter(
    (name) => isIP(name) !== 0 || /^[a-z0-9*._-]+$/i.test(name),
  )
  return [...new Set(all.map((name) => name.toLowerCase()))]
}

/** The address that clients are told; `port` is the one that the server got. */
export function publicAddress({ host, publicUrl }: ListenConfig, names: readonly string[], port: number): string {
  if (publicUrl !== undefined) return publicUrl.replace(/\/+$/, '')
  const name = names[0] ?? (isEverywhere(host) ? (ownAddresses()[0] ?? '127.0.0.1') : host!)
  return `https://${isIP(name) === 6 ? `[${name}]` : name}:${port}`
}
