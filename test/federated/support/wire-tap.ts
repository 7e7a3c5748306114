/**
 * Somebody who sees all that clients send to a server over HTTPS: the bytes on the wire, and, with the server's own key, what is under them. TLS ends here;
 * the server behind it speaks HTTP.
 */
import { connect as connectPlain, createServer as createPlain, type Socket } from 'node:net'
import { createServer as createSecure, type TLSSocket } from 'node:tls'
import type { ServerIdentity } from '../../../src/federated/https/tls-folder.js'

export interface WireTap {
  port: number
  /** Where what was decrypted goes on to. */
  to(port: number): void
  /** All that was sent so far, a connection each: encrypted, decrypted, and the decrypted bytes between two empty lines. */
  sent(): Buffer[]
  /** What handshakes name: host and protocol. */
  readonly names: Set<string>
  close(): void
}

export async function openWireTap({ chain, key }: ServerIdentity): Promise<WireTap> {
  let target = 0
  const raw: Buffer[][] = []
  const plain: Buffer[][] = []
  const names = new Set<string>()
  const sockets = new Set<Socket>()

  /** Joins both ends, and keeps what goes from `near` to `far`. */
  function join(near: Socket, port: number, kept: Buffer[]): void {
    const far = connectPlain(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {}).once('close', () => [near, far].map((one) => one.destroy()))
    }
    near.on('data', (chunk: Buffer) => kept.push(chunk))
    near.pipe(far)
    far.pipe(near)
  }

  const begin = (all: Buffer[][]) => {
    const kept: Buffer[] = []
    all.push(kept)
    return kept
  }
  const inner = createSecure({ cert: chain, key }, (socket: TLSSocket) => {
    names.add(`${(socket as { servername?: string | false }).servername} ${socket.alpnProtocol}`)
    join(socket, target, begin(plain))
  })
  const portOf = (server: { address(): unknown }) => (server.address() as { port: number }).port
  const outer = createPlain((socket) => join(socket, portOf(inner), begin(raw)))
  for (const server of [inner, outer]) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: portOf(outer),
    names,
    to: (port) => {
      target = port
    },
    sent() {
      const whole = [...raw, ...plain].map((chunks) => Buffer.concat(chunks))
      const parts = plain.flatMap((chunks) =>
        Buffer.concat(chunks)
          .toString('latin1')
          .split('\r\n\r\n')
          .map((part) => Buffer.from(part, 'latin1')),
      )
      return [...whole, ...parts]
    },
    close() {
      for (const socket of sockets) socket.destroy()
      inner.close()
      outer.close()
    },
  }
}
