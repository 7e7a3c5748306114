/** `fedlora serve`: the server of a federation between machines. */
import { join } from 'node:path'
import type { CoordinatorEvent } from '../../federated/coordinator/events.js'
import type { Leader } from '../../federated/nats/lease.js'
import { createServer, type FederationServer } from '../../server/create-server.js'
import { keepHeapSmall } from '../../server/heap.js'
import { type Command, configFlag } from '../command.js'
import type { Output } from '../output.js'
import { describeError } from '../run.js'
import { planServer, serverFlags, serverSections } from '../serve/sections.js'
import { named, serveTeller } from '../serve/tell.js'
import { formatSeconds, shownPath } from '../words.js'

/** Where it listens, and what it waits for. */
function tellBeginning(server: FederationServer, output: Output): void {
  const { name, run, round, rounds, state, waitsFor } = server.standing()
  const { address: url, pageUrl: page } = server
  output.event({ type: 'listening', url, page, run, name, round, rounds, state })
  output.text(`"${name}" listens at ${url} · page: ${page}`)
  if (round === 0) output.text(`${rounds} rounds; waits for ${waitsFor}`)
  else output.text(`${round} of ${rounds} rounds are done${waitsFor === '' ? '' : `; ${waitsFor}`}`)
}

/** A federation that has ended is there for a while, so that its clients hear of it. */
async function letHear(server: FederationServer, seconds: number, output: Output, signal: AbortSignal): Promise<void> {
  const { unaware: clients } = server
  if (clients.length === 0 || seconds === 0) return
  output.event({ type: 'lingering', clients, seconds })
  output.text(`the federation is over; waits up to ${formatSeconds(seconds)} for ${named(clients)} to hear of it`)
  await server.everyoneKnows(AbortSignal.any([signal, AbortSignal.timeout(1000 * seconds)]))
  if (server.unaware.length === 0) return
  output.note(`${named(server.unaware)} did not hear of it, and will when the same command runs again`)
}

/** Events in order behind `begin`, however early they come. */
function inOrder(tell: (event: CoordinatorEvent) => void) {
  let early: CoordinatorEvent[] | undefined = []
  return {
    tell: (event: CoordinatorEvent) => void (early?.push(event) ?? tell(event)),
    begin() {
      const waiting = early ?? []
      early = undefined
      for (const event of waiting) tell(event)
    },
  }
}

function endAtOnce(output: Output): void {
  output.endProgress()
  output.note('stopped by SIGINT; the same command goes on')
  process.exit(130)
}

/** SIGHUP reads the certificate again; at a terminal it ends the server with it, as everything else there. */
function renewOnHangup(server: FederationServer, output: Output): () => void {
  if (process.stdin.isTTY) return () => {}
  const renew = () =>
    void server.renewCertificate().then(
      () => output.note('SIGHUP: the certificate was read again'),
      (error: unknown) => output.note(`SIGHUP: the certificate stays as it is: ${describeError(error)}`),
    )
  process.on('SIGHUP', renew)
  return () => void process.off('SIGHUP', renew)
}

export const serve: Command = {
  name: 'serve',
  // An answer counts when it is on disk: there is nothing that Ctrl-C would have to wait for.
  ownsInterrupt: true,
  flags: { ...configFlag, ...serverFlags },
  sections: serverSections,
  async run({ flags, config, output, signal, holding }) {
    const { options, config: plan } = await planServer(flags, config)
    process.once('SIGINT', () => endAtOnce(output))
    keepHeapSmall()
    output.phase(
      options.evaluate === undefined ? 'reading the base model' : 'reading the base model and the rows of evaluate',
    )
    return await holding(async () => {
      const unit = options.federation.asynchronous === undefined ? 'round' : 'step'
      const tell = serveTeller(output, () => server.standing().waitsFor, unit)
      const events = inOrder((event) => {
        output.event({ ...event })
        tell(event)
      })
      const standby = {
        signal,
        onStandby(leader: Leader) {
          output.endProgress()
          output.event({ type: 'standby', ...leader })
          output.text(`stands by: process ${leader.pid} on ${leader.host} leads`)
          output.phase('waits for the lead')
        },
      }
      const server = await createServer(options, events.tell, standby).finally(() => output.endProgress())
      const ignoreHangup = renewOnHangup(server, output)
      try {
        tellBeginning(server, output)
        events.begin()
        const stopped = new Promise<void>((resolve) => {
          if (signal.aborted) resolve()
          signal.addEventListener('abort', () => resolve(), { once: true })
        })
        await Promise.race([server.over, stopped])
        if (!signal.aborted) await letHear(server, plan.limits.lingerSeconds, output, signal)
        output.endProgress()
        const { name, run, round, rounds, bytesUp, bytesDown, history, state } = server.standing()
        const adapter = join(options.folder, 'adapter')
        if (state === 'finished') output.text(`adapter: ${shownPath(adapter)}`)
        else output.note(`stopped after round ${round}; the same command goes on`)
        const loss = history.at(-1)?.loss ?? null
        const heldOutLoss = history.findLast(({ heldOutLoss: held }) => held !== undefined)?.heldOutLoss ?? null
        return {
          name,
          run,
          rounds: round,
          of: rounds,
          loss,
          heldOutLoss,
          bytesUp,
          bytesDown,
          folder: options.folder,
          adapter,
        }
      } finally {
        ignoreHangup()
        await server.close()
      }
    })
  },
}
