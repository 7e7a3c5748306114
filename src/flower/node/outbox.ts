/**
 * Replies, on disk before they are sent, and sent from there byte by byte: a reply made anew would be another one, and a server from 1.43 on
 * would count both. `outbox/<id of the instruction>/` holds the body of `push-messages` and the objects, each under its id.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { replaceFolder } from '../../files/atomic.js'
import { writeJsonFile } from '../../files/json.js'
import type { Objects } from '../objects/object.js'
import { readBytes, writeBytes } from './files.js'

/** Ids of instructions whose replies are gone, newest last; so many are remembered. */
const remembered = 1000

export class Outbox {
  readonly #folder: string
  readonly #answeredFile: string
  readonly #answered: string[]

  private constructor(folder: string, answeredFile: string, answered: string[]) {
    this.#folder = folder
    this.#answeredFile = answeredFile
    this.#answered = answered
  }

  /** @param folder - the node's. */
  static async open(folder: string): Promise<Outbox> {
    const file = join(folder, 'answered.json')
    const bytes = await readBytes(file)
    let answered: unknown = []
    try {
      answered = bytes && JSON.parse(bytes.toString('utf8'))
    } catch {} // it only saves questions
    const ids = Array.isArray(answered) ? answered.filter((id) => typeof id === 'string') : []
    return new Outbox(join(folder, 'outbox'), file, ids)
  }

  /** Instructions whose replies are here. */
  async pending(): Promise<string[]> {
    const names = await readdir(this.#folder).catch(() => [] as string[])
    return names.filter((name) => !name.startsWith('.')).sort()
  }

  /** Whether the reply to an instruction was here and is gone. */
  wasAnswered(id: string): boolean {
    return this.#answered.includes(id)
  }

  /**
   * Writes a reply down; when this returns it is there whole, on the device.
   * @param push - the body of `push-messages`.
   * @throws FedloraError `E_IO`.
   */
  async add(id: string, push: Uint8Array, objects: Objects): Promise<void> {
    await replaceFolder(join(this.#folder, id), async (temporary) => {
      await writeBytes(join(temporary, 'push'), push)
      for (const [id, content] of objects) await writeBytes(join(temporary, id), content)
    })
  }

  /** The body of `push-messages`. @throws FedloraError `E_IO`. */
  async push(id: string): Promise<Buffer> {
    return (await readBytes(join(this.#folder, id, 'push'))) ?? Buffer.alloc(0)
  }

  /** An object of a reply. @throws FedloraError `E_PROTOCOL` when it is none of its, `E_IO`. */
  async object(id: string, object: string): Promise<Buffer> {
    const content = /^[0-9a-f]{64}$/.test(object) ? await readBytes(join(this.#folder, id, object)) : undefined
    if (content !== undefined) return content
    const message = `flower: the server asks for object ${object.slice(0, 80)}, which the reply to ${id} does not have`
    throw new FedloraError('E_PROTOCOL', message, { object, id })
  }

  /** Forgets a reply, but not that there was one. */
  async remove(id: string): Promise<void> {
    this.#answered.push(id)
    this.#answered.splice(0, this.#answered.length - remembered)
    await writeJsonFile(this.#answeredFile, this.#answered)
    await rm(join(this.#folder, id), { recursive: true, force: true })
  }
}
