/** An operator's word to a federation: by the operator's side of the server that runs, or in its folder while none does. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError, isFedloraError } from '../errors.js'
import type { Coordinator } from '../federated/coordinator/coordinator.js'
import { errorOf } from '../federated/https/problem.js'
import type { Standing } from '../federated/link/standing.js'
import { exists, ioError } from '../files/atomic.js'
import { readJsonObject } from '../files/json.js'
import { parseOptions } from '../options/parse.js'
import { inviteAsleep, type Opened, openFolder } from './folder.js'
import type { ServerConfig } from './options.js'

export interface Operator {
  /** Whether a server runs. */
  readonly runs: boolean
  standing(): Promise<Standing>
  /** A join token, as it is pasted. */
  invite(name: string, seconds: number): Promise<string>
  revoke(name: string): Promise<void>
  pause(): Promise<void>
  resume(): Promise<void>
  abandonRound(): Promise<void>
  stop(): Promise<void>
  /** Path of the adapter as it stands. */
  exportAdapter(): Promise<string>
}

function inFolder(config: ServerConfig, coordinator: Coordinator): Operator {
  return {
    runs: false,
    standing: async () => coordinator.standing(),
    invite: (name, seconds) => inviteAsleep(config, coordinator, name, seconds),
    revoke: (name) => coordinator.revoke(name),
    pause: () => coordinator.pause(),
    resume: () => coordinator.resume(),
    abandonRound: () => coordinator.abandonRound(),
    stop: () => coordinator.stop(),
    exportAdapter: async () => (await coordinator.exportAdapter()).path,
  }
}

/** Where the operator's side of a server that runs is written down. */
const placeOf = (folder: string) => join(folder, 'operator.json')

const placeSchema = z.looseObject({ url: z.url() })

/** Asks the operator's side of the server that runs over a folder. @throws FedloraError what it refuses; `E_UNREACHABLE`. */
function bySide(folder: string): Operator {
  async function ask(method: 'GET' | 'POST', path: string, command?: object): Promise<Record<string, unknown>> {
    const { url } = parseOptions(placeSchema, await readJsonObject(placeOf(folder), 'the server'), 'server')
    const token = await readFile(join(folder, 'operator.token'), 'utf8').catch((error: unknown) => {
      throw ioError(error, `cannot read '${folder}/operator.token': an operator has the rights of who runs the server`)
    })
    const headers = { authorization: `Bearer ${token.trim()}`, 'content-type': 'application/json' }
    const body = command === undefined ? {} : { body: JSON.stringify(command) }
    const response = await fetch(`${url}/v1/admin/${path}`, { method, headers, ...body }).catch((error: unknown) => {
      throw new FedloraError('E_UNREACHABLE', `the server of '${folder}' does not answer at ${url}`, { url }, error)
    })
    const text = await response.text()
    if (response.ok) return JSON.parse(text) as Record<string, unknown>
    throw errorOf(text) ?? new FedloraError('E_UNREACHABLE', `${url} answers ${response.status}`, { url })
  }
  const act = async (verb: string, command: object = {}) => await ask('POST', verb, command)
  return {
    runs: true,
    standing: async () => (await ask('GET', 'status')) as unknown as Standing,
    invite: async (name, seconds) => String((await act('invite', { name, seconds })).token),
    revoke: async (name) => void (await act('revoke', { name })),
    pause: async () => void (await act('pause')),
    resume: async () => void (await act('resume')),
    abandonRound: async () => void (await act('abandon-round')),
    stop: async () => void (await act('stop')),
    exportAdapter: async () => String((await act('export')).path),
  }
}

/** @throws FedloraError of the work; as `createServer` for a folder that cannot be opened. */
export async function operate<R>(config: ServerConfig, work: (operator: Operator) => Promise<R>): Promise<R> {
  let opened: Opened
  try {
    opened = await openFolder(config)
  } catch (error) {
    if (isFedloraError(error, 'E_LOCKED') && (await exists(placeOf(config.folder))))
      return await work(bySide(config.folder))
    throw error
  }
  try {
    return await work(inFolder(config, opened.coordinator))
  } finally {
    await opened.close()
  }
}
