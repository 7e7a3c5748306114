/** A port with TLS 1.3 on it: what is refused before there is a request, and how it closes. */
import { createServer as createPlain, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createSecure, type ServerOptions as SecureOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { FedloraError } from '../../../errors.js'
import { ioError } from '../../../files/atomic.js'
import type { LimitsConfig } from '../options.js'
import type { ServerIdentity } from '../tls-folder.js'

/** Milliseconds for which a connection stays open between two requests. */
const keepAlive = 30_000
/** Milliseconds for which a refused sender may read why. */
const lingering = 1000

export interface Listener {
  port: number
  /** Open connections. */
  connections(): Promise<number>
  /** Another certificate, from the next connection on. */
  renew(identity: ServerIdentity): void
  /** Takes no further connection, waits for requests under way for so many seconds, then cuts what is left. */
  close(seconds: number): Promise<void>
}

const secureOptions = ({ chain, key, clientAuthority }: ServerIdentity): SecureOptions => ({
  cert: chain,
  key,
  minVersion: 'TLSv1.3',
  ...(clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true }),
})

/** Bytes that are no HTTP get what HTTP has for it, and the door. */
function refuseGarbage({ code = '' }: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) return void socket.destroy()
  const statuses: Record<string, string> = {
    HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
    ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  }
  const status = statuses[code] ?? '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy())
  setTimeout(() => socket.destroy(), lingering).unref() // who does not read is not waited for
}

/**
 * @param identity - undefined: plain HTTP, for a proxy that ends TLS.
 * @param refused - called for every connection that came to nothing, with the reason's code.
 * @throws FedloraError `E_IO` when the port cannot be had.
 */
export async function listen(
  { host, port }: { host?: string; port: number },
  identity: ServerIdentity | undefined,
  limits: Pick<LimitsConfig, 'connections' | 'headerBytes' | 'headerSeconds'>,
  handle: RequestListener,
  refused: (code: string) => void,
): Promise<Listener> {
  const options: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: 1000 * limits.headerSeconds,
    requestTimeout: 0, // senders have a floor of their own (intake.ts)
    keepAliveTimeout: keepAlive,
    connectionsCheckingInterval: 200 * limits.headerSeconds,
  }
  const server = (
    identity === undefined
      ? createPlain(options)
      : createSecure({ ...options, handshakeTimeout: 1000 * limits.headerSeconds, ...secureOptions(identity) })
  ) as Server
  server.maxConnections = limits.connections
  server.maxHeadersCount = 64
  server.on('request', handle)
  server.on('checkContinue', handle)
  server.on('checkExpectation', handle)
  server.on('upgrade', (_request, socket: Socket) => socket.destroy())
  server.on('connect', (_request, socket: Socket) => socket.destroy())
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    refused(error.code ?? 'unknown')
    refuseGarbage(error, socket as Socket)
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    refused(error.code ?? 'unknown')
    socket.destroy()
  })
  server.on('drop', () => refused('too many connections'))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 4096 }, resolve)
  }).catch((error: NodeJS.ErrnoException) => {
    const cure =
      error.code === 'EADDRINUSE' ? '; another program has the port: stop it, or choose another in listen.port' : ''
    throw new FedloraError(
      'E_IO',
      `cannot listen at ${host ?? 'every address'}, port ${port}: ${error.message}${cure}`,
      { host, port },
      ioError(error, 'listen'),
    )
  })
  server.on('error', (error) => refused((error as NodeJS.ErrnoException).code ?? 'unknown'))
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count))),
    renew: (renewed) =>
      (server as unknown as { setSecureContext(options: SecureOptions): void }).setSecureContext(
        secureOptions(renewed),
      ),
    async close(seconds) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      const sweep = setInterval(() => server.closeIdleConnections(), 200)
      const cut = setTimeout(() => server.closeAllConnections(), seconds * 1000)
      await closed
      clearInterval(sweep)
      clearTimeout(cut)
    },
  }
}
