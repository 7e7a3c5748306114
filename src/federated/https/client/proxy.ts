/** The way out: straight, or by CONNECT through the proxy that the environment names (HTTPS_PROXY, NO_PROXY; RFC 9110 §9.3.6). */
import { request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { Socket } from 'node:net'
import { FedloraError } from '../../../errors.js'

type Environment = Readonly<Record<string, string | undefined>>

/** Milliseconds that a proxy may take to connect. */
const patience = 15_000

/** Whether `list` (NO_PROXY) names a host: `host`, `.domain`, `domain` with all below it, `host:port`, or `*`. */
function isExempt(list: string, host: string, port: string): boolean {
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const [, name, only] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase())!
      const domain = name!.replace(/^\*?\./, '').replace(/^\[|\]$/g, '')
      return (only === undefined || only === port) && (host === domain || host.endsWith(`.${domain}`))
    })
}

/** The proxy for an address; undefined: none. @throws FedloraError `E_CONFIG` for one that is no http or https URL. */
export function proxyFor(address: URL, environment: Environment = process.env): URL | undefined {
  const either = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined
  const proxy = either('HTTPS_PROXY') ?? either('ALL_PROXY')
  if (proxy === undefined) return undefined
  const host = address.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (isExempt(either('NO_PROXY') ?? '', host, address.port || '443')) return undefined
  const url = URL.canParse(proxy)
    ? new URL(proxy)
    : URL.canParse(`http://${proxy}`)
      ? new URL(`http://${proxy}`)
      : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new FedloraError(
      'E_CONFIG',
      `HTTPS_PROXY is '${proxy.replace(/\/\/[^@/]*@/, '//…@')}', expected http://host:port or https://host:port`,
    )
  }
  return url
}

/** A connection to `host:port` through a proxy. @throws FedloraError `E_UNREACHABLE`, `E_AUTH` when the proxy wants a name and password. */
export function connectThrough(proxy: URL, host: string, port: number, signal?: AbortSignal): Promise<Socket> {
  const target = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const headers: Record<string, string> = { host: target }
  if (proxy.username !== '') {
    const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
    headers['proxy-authorization'] = `Basic ${Buffer.from(login).toString('base64')}`
  }
  const shown = `the proxy ${proxy.protocol}//${proxy.host}`
  return new Promise((resolve, reject) => {
    const send = proxy.protocol === 'https:' ? secureRequest : plainRequest
    const port = proxy.port || (proxy.protocol === 'https:' ? '443' : '80')
    const request = send({
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port,
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
      signal,
    })
    request.setTimeout(patience, () => request.destroy(new Error(`no answer within ${patience / 1000} s`)))
    request.once('connect', (response, socket) => {
      request.setTimeout(0)
      if (response.statusCode === 200) return resolve(socket as Socket)
      socket.destroy()
      const login = response.statusCode === 407
      const cure = login ? '; put name and password into HTTPS_PROXY' : ''
      reject(
        new FedloraError(
          login ? 'E_AUTH' : 'E_UNREACHABLE',
          `${shown} answers ${response.statusCode} to CONNECT ${target}${cure}`,
        ),
      )
    })
    request.once('response', (response) => {
      request.destroy()
      reject(
        new FedloraError(
          'E_UNREACHABLE',
          `${shown} answers ${response.statusCode} to CONNECT ${target}: it is no proxy`,
        ),
      )
    })
    request.once('error', (error) => reject(new FedloraError('E_UNREACHABLE', `${shown}: ${error.message}`, {}, error)))
    request.end()
  })
}
