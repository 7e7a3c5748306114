/**
 * Messages that were pulled, on disk before the server is told that they have arrived: it then forgets them, and up to 1.42 it hands each out
 * only once. `inbox/<id>/` holds the message as it came and its objects, each under its id.
 */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { syncPath } from '../../files/atomic.js'
import { isObjectId, objectId, readObject } from '../objects/object.js'
import { fleetMethods, type Metadata, type ObjectTree } from '../wire/fleet.js'
import { readBytes, replaceBytes, writeBytes } from './files.js'

/** A message as it was pulled: who says it, and what it is made of. */
export interface Pulled {
  metadata: Metadata
  tree: ObjectTree
}

const { response } = fleetMethods['pull-messages']

const isRejected = (result: PromiseSettledResult<void>): result is PromiseRejectedResult => result.status === 'rejected'

/** Ids of a tree, children first, each once. */
function idsOf(tree: ObjectTree): string[] {
  const ids = new Set<string>()
  const walk = ({ objectId, children }: ObjectTree) => {
    children.forEach(walk)
    ids.add(objectId)
  }
  walk(tree)
  return [...ids]
}

/**
 * The message of an answer of `pull-messages`; undefined when there is none.
 * @throws FedloraError `E_PROTOCOL` for one that is not whole.
 */
export function readPulled(answer: ReturnType<typeof response.decode>): Pulled | undefined {
  const [message] = answer.messages
  const [tree] = answer.trees
  if (message === undefined && tree === undefined) return undefined
  const id = message?.metadata?.messageId
  const whole = id !== undefined && tree?.objectId === id && idsOf(tree).every(isObjectId)
  if (!whole || answer.messages.length > 1) {
    throw new FedloraError('E_PROTOCOL', 'flower: pull-messages: a message whose objects are not its own', { id })
  }
  return { metadata: message!.metadata!, tree }
}

export class Inbox {
  readonly #folder: string

  /** @param folder - of all messages. */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** Messages that were pulled and not answered, oldest first. What was not written down whole never arrived. */
  async pending(): Promise<Pulled[]> {
    const found: Pulled[] = []
    for (const id of await readdir(this.#folder).catch(() => [] as string[])) {
      const bytes = await readBytes(join(this.#folder, id, 'message'))
      const pulled = bytes && readPulled(response.decode(bytes))
      if (pulled === undefined) await this.remove(id)
      else found.push(pulled)
    }
    return found.sort((a, b) => a.metadata.createdAt - b.metadata.createdAt)
  }

  /** Writes a message down, before any of its objects. */
  async add({ metadata, tree }: Pulled): Promise<void> {
    const folder = join(this.#folder, metadata.messageId)
    await mkdir(folder, { recursive: true })
    await replaceBytes(
      join(folder, 'message'),
      response.encode({ messages: [{ metadata, content: {}, error: undefined }], trees: [tree] }),
    )
    await syncPath(this.#folder)
  }

  /**
   * Has all objects of a message on disk: those that are not there yet are fetched.
   * @param room - bytes that they may have together.
   * @returns their bytes.
   * @throws FedloraError `E_HASH` for bytes that are not the object's, `E_TOO_LARGE`, `E_IO`; what `fetch` throws.
   */
  async complete(
    { metadata, tree }: Pulled,
    room: number,
    fetch: (id: string) => Promise<Uint8Array>,
  ): Promise<number> {
    const folder = join(this.#folder, metadata.messageId)
    let bytes = 0
    const take = async (id: string) => {
      const there = await readBytes(join(folder, id))
      const content = there !== undefined && objectId(there) === id ? there : await fetch(id)
      bytes += content.length
      if (bytes > room) {
        const message = `flower: message ${metadata.messageId} has more than ${room} bytes; raise maxBytes if that is meant`
        throw new FedloraError('E_TOO_LARGE', message, { id: metadata.messageId, room })
      }
      if (content === there) return
      if (objectId(content) !== id) {
        throw new FedloraError('E_HASH', `flower: the bytes of object ${id} are not those of its id`, { object: id })
      }
      await writeBytes(join(folder, id), content)
    }
    const waiting = idsOf(tree)
    const lane = async () => {
      try {
        for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) await take(id)
      } catch (error) {
        waiting.length = 0 // the others end with what they have begun
        throw error
      }
    }
    for (const { reason } of (await Promise.allSettled([lane(), lane(), lane(), lane()])).filter(isRejected))
      throw reason
    await syncPath(folder)
    return bytes
  }

  /** The objects of a message that is complete. @throws FedloraError `E_HASH`, `E_PROTOCOL`, `E_IO`. */
  async objects({ metadata, tree }: Pulled): Promise<(id: string) => ReturnType<typeof readObject>> {
    const contents = new Map<string, Uint8Array>()
    for (const id of idsOf(tree)) contents.set(id, (await readBytes(join(this.#folder, metadata.messageId, id)))!)
    return (id) => {
      const content = contents.get(id)
      if (content !== undefined && objectId(content) === id) return readObject(id, content)
      throw new FedloraError('E_HASH', `flower: object ${id} is damaged or none of this message's`, { object: id })
    }
  }

  async remove(id: string): Promise<void> {
    await rm(join(this.#folder, id), { recursive: true, force: true })
  }
}
