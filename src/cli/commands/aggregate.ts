/** `fedlora aggregate`: a worker that screens and sums answers for a server over NATS. */
import { type RunWorkerOptions, runWorker } from '../../server/run-worker.js'
import { type Command, configFlag, text } from '../command.js'
import { planServer, serverFlags, serverSections } from '../serve/sections.js'
import { UsageError } from '../usage.js'
import { formatSeconds } from '../words.js'

/** Where NATS is: the file of workers, or the server's. */
async function natsOf(flags: Record<string, unknown>, config: Parameters<typeof planServer>[1]) {
  const file = text(flags as never, 'file')
  if ((file === undefined) === (flags.config === undefined)) {
    const message =
      'fedlora aggregate: expected FILE, which fedlora nats init wrote for workers, or --config FILE of the server, and one of them'
    throw new UsageError(message)
  }
  if (file !== undefined) return file
  const { options } = await planServer(flags as never, config)
  if (options.nats !== undefined) return options.nats
  throw new UsageError(
    'the config file of the server has no section nats: workers find their work there',
    {},
    'E_CONFIG',
  )
}

export const aggregate: Command = {
  name: 'aggregate',
  words: [{ name: 'file', description: 'the file that fedlora nats init wrote for workers (worker.json)' }],
  flags: { ...configFlag, ...serverFlags },
  sections: serverSections,
  async run({ flags, config, output, signal, holding }) {
    const nats: RunWorkerOptions['nats'] = await natsOf(flags, config)
    const counts = { assignments: 0, accepted: 0, refused: 0 }
    let told = ''
    output.event({ type: 'working', pid: process.pid })
    output.text('waits for answers to sum')
    await holding(() =>
      runWorker({
        nats,
        signal,
        onEvent(event) {
          output.event({ ...event })
          if (event.type === 'trouble') {
            if (event.message !== told) output.note(`${event.code}: ${event.message}; tries again`)
            told = event.message
          }
          if (event.type !== 'folded') return
          told = ''
          counts.assignments++
          counts.accepted += event.accepted
          counts.refused += event.refused
          const lies = event.refused === 0 ? '' : `, ${event.refused} refused`
          output.text(`round ${event.round}: ${event.accepted} answers summed${lies} · ${formatSeconds(event.seconds)}`)
        },
      }),
    )
    return counts
  },
}
