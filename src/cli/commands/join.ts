/** `fedlora join TOKEN`: takes part in a federation with the rows of this machine. */
import { resolve } from 'node:path'
import { joinNats } from '../../client/join-nats.js'
import type { FedloraError } from '../../errors.js'
import { joinServer } from '../../federated/https/client/join.js'
import { retrying, systemTime } from '../../federated/link/retry.js'
import { type Connect, takePart } from '../../federated/participant/join.js'
import { findModel } from '../../files/model-source.js'
import { type Command, text } from '../command.js'
import { allowanceFlags, allowanceOf } from '../join/allowance.js'
import { askFirst } from '../join/approve.js'
import { joinTeller } from '../join/tell.js'
import { ticketOf } from '../join/ticket.js'
import { readToken, tokenFlag } from '../join/token.js'
import { checkFiles } from '../open-data.js'
import { deviceFlag } from '../sections.js'
import { UsageError } from '../usage.js'

export const join: Command = {
  name: 'join',
  words: [
    {
      name: 'token',
      description:
        'TOKEN: the join token that the operator of the federation made for you, - to read it from the standard input; what stands here other users of this machine can see: --token-file keeps it to you. Over NATS: the file of fedlora nats init for you',
    },
  ],
  flags: {
    'token-file': tokenFlag,
    flower: {
      type: 'string',
      value: 'URL',
      description: 'a Flower server in the place of TOKEN: the same as fedlora flower join URL, with its flags',
    },
    data: {
      type: 'string',
      value: 'FILE',
      description: 'rows, read as the federation says: a file, a folder or a pattern (may be repeated); they stay here',
      multiple: true,
      required: true,
    },
    model: {
      type: 'string',
      value: 'DIR',
      description: 'the base of the federation: a model folder, or an id in the Hugging Face cache',
      required: true,
    },
    folder: {
      type: 'string',
      value: 'DIR',
      description: 'what this client must not forget: its key, its work under way, what it keeps between rounds',
      required: true,
    },
    device: deviceFlag,
    threads: {
      type: 'number',
      value: 'N',
      description: 'worker threads; default: the cores available to this process',
    },
    approve: { type: 'boolean', description: 'shows what is about to be sent and asks, each round' },
    ...allowanceFlags,
    proxy: {
      type: 'string',
      value: 'URL',
      description:
        'the way out, http://host:port (default: HTTPS_PROXY, with NO_PROXY; a proxy with a password belongs there)',
    },
    authority: {
      type: 'string',
      value: 'FILE',
      description: 'PEM of the authority of the server, where the token pins none (default: those of this machine)',
    },
    certificate: {
      type: 'string',
      value: 'FILE',
      description: 'PEM of a certificate of this client, for servers that ask for one',
    },
    key: { type: 'string', value: 'FILE', description: 'PEM of its private key' },
  },
  async run({ flags, output, signal, holding }) {
    const ticket = await ticketOf(flags)
    const token = ticket === undefined ? await readToken(flags) : ''
    const folder = resolve(text(flags, 'folder')!)
    const allowance = await allowanceOf(flags, folder)
    const approve = flags.approve ? askFirst(output, signal) : undefined
    const { folder: model } = await findModel(text(flags, 'model')!)
    const data = flags.data as string[]
    checkFiles(data)
    const trust = {
      authority: text(flags, 'authority'),
      certificate: text(flags, 'certificate'),
      key: text(flags, 'key'),
    }
    const environment = { ...process.env, ...proxyOf(text(flags, 'proxy')) }
    const tell = joinTeller(output)
    const connect = async (signal: AbortSignal) => {
      const onRetry = (error: unknown, milliseconds: number) => {
        const { code, message: why } = error as FedloraError
        const event = { type: 'retry', code, why, seconds: milliseconds / 1000 } as const
        output.event(event)
        tell(event)
      }
      const patience = { signal, time: systemTime, random: Math.random, onRetry }
      const join = () =>
        ticket !== undefined
          ? joinNats(ticket, folder, signal)
          : joinServer(token, folder, { ...trust, environment, signal })
      return await retrying<Awaited<ReturnType<Connect>>>(join, patience)
    }
    return await holding(async () => {
      const run = takePart(connect, { ...allowance, model, data, signal, ...(approve && { approve }) })
      output.phase('joining')
      for await (const event of run) {
        output.eventOf(event)
        tell(event)
      }
      const result = await run
      output.endProgress()
      if (result.rounds === null) output.note('stopped; the same command goes on, and its token need not be new')
      return { ...result, folder }
    })
  },
}

/** The way out that `--proxy` names, as the environment would. */
function proxyOf(proxy: string | undefined): NodeJS.ProcessEnv {
  if (proxy === undefined) return {}
  if (URL.canParse(proxy) && /^https?:$/.test(new URL(proxy).protocol))
    return { HTTPS_PROXY: proxy, https_proxy: proxy }
  throw new UsageError(`--proxy: got "${proxy}", expected http://host:port or https://host:port`)
}
