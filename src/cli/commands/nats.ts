/** `fedlora nats`: what an operator of a NATS server begins with (init), and further clients of it (add). */
import { resolve } from 'node:path'
import { addNatsClients } from '../../federated/nats/add.js'
import { initNats } from '../../federated/nats/init.js'
import { type Command, text, usage } from '../command.js'
import { UsageError } from '../usage.js'
import { shownPath } from '../words.js'

/** Flags that only init has. */
const ofInit = ['space', 'listen', 'url', 'cert', 'key', 'authority']

export const nats: Command = {
  name: 'nats',
  words: [
    {
      name: 'action',
      description:
        'init: writes a configuration for nats-server, the seed of the federation’s server, a file for its workers, and one for each client; add: another client (or several), beside those who are in',
      choices: ['init', 'add'],
      required: true,
    },
  ],
  flags: {
    folder: { type: 'string', value: 'DIR', description: 'where they are written (default nats)' },
    clients: { type: 'string', value: 'A,B,…', description: 'names of the clients' },
    space: { type: 'string', value: 'NAME', description: 'what names in NATS begin with (default fedlora)' },
    listen: { type: 'string', value: 'HOST:PORT', description: 'where it listens (default 0.0.0.0:4222)' },
    url: { type: 'string', value: 'URL', description: 'where clients reach it (default: by --listen)' },
    cert: { type: 'string', value: 'FILE', description: 'certificate of NATS (PEM); without it nothing is encrypted' },
    key: { type: 'string', value: 'FILE', description: 'its key (PEM)' },
    authority: { type: 'string', value: 'FILE', description: 'the authority of that certificate (PEM), for clients' },
  },
  async run({ flags, output }) {
    const folder = resolve(text(flags, 'folder') ?? 'nats')
    const clients = (text(flags, 'clients') ?? '').split(',').flatMap((name) => name.trim() || [])
    const forEach = (made: Readonly<Record<string, string>>) => {
      for (const [name, path] of Object.entries(made)) output.text(`for ${name}: ${shownPath(path)} (for it alone)`)
    }
    if (flags.action === 'add') {
      const given = ofInit.find((name) => text(flags, name) !== undefined)
      if (given !== undefined)
        throw new UsageError(`--${given}: NATS is configured already; only nats init has it`, { flag: given })
      const added = await usage(() => addNatsClients({ folder, clients }))
      forEach(added.clients)
      output.text(`NATS reads ${shownPath(added.config)} again at: nats-server --signal reload`)
      return { ...added }
    }
    const made = await usage(() =>
      initNats({
        folder,
        clients,
        ...Object.fromEntries(
          ofInit.flatMap((name) => {
            const value = text(flags, name)
            return value === undefined ? [] : [[name, value]]
          }),
        ),
      }),
    )
    output.text(`for NATS:       nats-server -c ${shownPath(made.config)}`)
    output.text(`for the server: ${shownPath(made.server)} (stays with it)`)
    output.text(`for workers:    ${shownPath(made.worker)} (for those of the operator)`)
    forEach(made.clients)
    return { ...made }
  },
}
