/**
 * A line between a server and its clients: a TCP proxy on this machine on which things go wrong by draws of a seed. Bytes are late, connections are
 * refused, cut on their way to the server, after it has acted, or in the middle of what is sent; where the carrier can tell, a bit is another one, and
 * what was sent on an old connection is sent once more.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Chaos } from './chaos-link.js'

/** Bytes of an old connection that are kept. */
const kept = 65_536

export interface Line {
  port: number
  /** Where it leads, from the next connection on. */
  to(port: number): void
  /** The connections of now are dead once so many bytes more have come, and nobody is told: what is sent then arrives nowhere. */
  silence(after?: number): void
  close(): Promise<void>
}

/** @param sealed - whether the carrier notices other bytes: what is changed and sent again must then come to nothing. */
export async function openLine(chaos: Chaos, sealed = true): Promise<Line> {
  let target = 0
  let old: Buffer | undefined
  const sockets = new Set<Socket>()
  let silent = new Set<Socket>()
  let left = 0

  function held(socket: Socket): Socket {
    sockets.add(socket)
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }

  function repeat(bytes: Buffer): void {
    const far = held(connect(target, '127.0.0.1'))
    far.resume().end(bytes)
  }

  /** Carries what comes one way, until the line is cut. */
  async function carry(from: Socket, to: Socket, up: boolean, cut: () => void): Promise<void> {
    const sent: Buffer[] = []
    for await (const given of from as AsyncIterable<Buffer>) {
      if (silent.has(from)) {
        left -= given.length
        if (left < 0) continue
      }
      await chaos.turns()
      if (chaos.strikes(up ? 'cut' : 'unanswered')) return cut()
      if (chaos.strikes('short')) {
        to.write(given.subarray(0, chaos.below(given.length)), cut)
        return
      }
      const chunk = Buffer.from(given)
      if (sealed && chaos.strikes('changed')) chunk[chaos.below(chunk.length)]! ^= 1 << chaos.below(8)
      if (up) sent.push(chunk)
      if (!to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')])
    }
    if (up && sent.length > 1) old = Buffer.concat(sent).subarray(0, kept)
    to.end()
  }

  const server = createServer((near) => {
    held(near)
    if (chaos.strikes('lost')) return void near.resetAndDestroy()
    if (sealed && old !== undefined && chaos.strikes('again')) repeat(old)
    const far = held(connect(target, '127.0.0.1'))
    const cut = () => {
      near.destroy()
      far.destroy()
    }
    for (const carried of [carry(near, far, true, cut), carry(far, near, false, cut)]) carried.catch(cut)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    to: (port) => {
      target = port
    },
    silence(after = 0) {
      silent = new Set(sockets)
      left = after
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
