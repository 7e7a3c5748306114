/** The adapters that clients are served by after a round, one at a time: none is held on to. */
import { join } from 'node:path'
import type { PromptFormat } from '../../data/prompt.js'
import type { Mixture, Residual } from '../algorithms/algorithm.js'
import { residualFor } from '../algorithms/residual.js'
import { openTask, servedBy } from '../client/personal.js'
import type { Task } from '../protocol/messages.js'
import { fitRanks } from '../protocol/space.js'
import { clientFolders } from './client-folders.js'
import { wear } from './spaces.js'
import type { RoundTools } from './tools.js'

/** A client as it stands after the server's last complete round. */
export interface Standing {
  /** What it would be asked next. */
  task: Task
  /** What the federation has come to, at the client's ranks. */
  global: Float32Array
  /** An adapter of its own; undefined when the global one serves it. */
  personal: Float32Array | undefined
  /** What is frozen beside either. */
  residual: Residual | undefined
  /** What predicts for it, where that is more than one adapter. */
  mixture: Mixture | undefined
}

const equal = (a: Float32Array, b: Float32Array) =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))

export async function standingOf(
  { chosen, clients, locals, spaces, server, own }: RoundTools,
  index: number,
): Promise<Standing> {
  const space = spaces.of(index)
  const { learningRate } = locals.of(index)
  const task = server.task(clients.name(index), space, server.round + 1, learningRate)
  const global = space === server.space ? server.result : fitRanks(server.result, server.space, space)
  const residual = residualFor(server.state, space)
  const shared = { task, global, residual }
  if (chosen.algorithm.personal === undefined) return { ...shared, personal: undefined, mixture: undefined }
  const kit = await openTask(task, { chosen, space, initial: server.initialFor(space), own })
  const personal = servedBy(chosen, kit)
  const mixture = chosen.algorithm.mixture?.(kit, chosen.options)
  return { ...shared, personal: equal(personal, kit.given.adapter!) ? undefined : personal, mixture }
}

/** Writes the adapter of each client that has one of its own as a PEFT folder: `clients/NAME/adapter`, NAME as `clientFolders` says. */
export async function savePersonal(tools: RoundTools, folder: string, promptFormat: PromptFormat | undefined) {
  const { chosen, clients, server, slots, spaces } = tools
  if (chosen.algorithm.personal === undefined || !server.whole) return
  const names = clientFolders(Array.from({ length: clients.length }, (_, index) => clients.name(index)))
  for (const [index, name] of names.entries()) {
    const { personal, residual } = await standingOf(tools, index)
    if (personal === undefined) continue
    const slot = slots[0]!.in(spaces.of(index))
    slot.promptFormat = clients.data(index).promptFormat ?? promptFormat
    wear(slot, personal, residual)
    await slot.write(join(folder, 'clients', name, 'adapter'), personal)
  }
}
