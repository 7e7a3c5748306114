/**
 * A Fleet server for tests, as SuperLink 1.40 to 1.42 behaves (`once`: a message is handed out once, two replies are one) or as 1.43 does
 * (`least`: until it is confirmed, and two replies are counted both). It is as strict as the real one, and more: every body must be what this
 * package's codec writes for it, every object what its id says. What it finds wrong with a client stands in `faults`.
 */
import { createPublicKey, randomUUID, verify } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { addArrayRecord } from '../../../src/flower/objects/arrays.js'
import { type Content, unpackMessage } from '../../../src/flower/objects/content.js'
import { writeNames } from '../../../src/flower/objects/json.js'
import type { FlowerArray } from '../../../src/flower/objects/npy.js'
import { addObject, type Objects, objectId, readObject } from '../../../src/flower/objects/object.js'
import { type RecordValue, writeValues } from '../../../src/flower/objects/values.js'
import {
  type FleetMethod,
  fleetMethods,
  flowerMessage,
  type Metadata,
  metadataOf,
  type ObjectTree,
} from '../../../src/flower/wire/fleet.js'

export interface ServerOptions {
  delivery?: 'once' | 'least'
  /** Keys are registered by the operator (`register`). */
  auth?: boolean
  tls?: { key: string; cert: string }
  /** Seconds that its clock is ahead. */
  ahead?: number
  /** Looks at a request before it is served; `drop`: the connection is cut, `late`: it is served, and the answer is lost; or a status. */
  meddle?: (method: FleetMethod, count: number) => 'drop' | 'late' | number | undefined
  /** Changes an answer before it is sent. */
  distort?: (method: FleetMethod, body: Uint8Array) => Uint8Array
}

interface Node {
  id: bigint
  online: boolean
  onlineUntil: number
}

export interface Received {
  id: string
  metadata: Metadata
  error?: { code: bigint; reason: string }
  content?: Content
}

class Refusal {
  constructor(
    readonly status: number,
    readonly code?: number,
    readonly detail = 'refused',
  ) {}
}

const runId = 2n ** 63n + 11n
const treeOf = (objects: Objects, id: string): ObjectTree => ({
  objectId: id,
  children: readObject(id, objects.get(id)!).children.map((child) => treeOf(objects, child)),
})
const idsOf = (tree: ObjectTree): string[] => [...tree.children.flatMap(idsOf), tree.objectId]

export class FleetServer {
  readonly faults: string[] = []
  /** Methods in the order in which they were called. */
  readonly calls: FleetMethod[] = []
  /** Bodies of `push-messages`, in hexadecimal, and requests of `push-object`. */
  readonly announced: string[] = []
  readonly pushed: string[] = []
  running = true
  url = ''
  readonly #options: ServerOptions
  readonly #nodes = new Map<string, Node>()
  readonly #objects: Objects = new Map()
  readonly #queue: { metadata: Metadata; tree: ObjectTree; given: boolean; confirmed: boolean }[] = []
  readonly #expected = new Map<string, { metadata: Metadata; error?: Received['error']; missing: Set<string> }>()
  readonly #sessions = new Set<string>()
  readonly #server
  #nextId = 2n ** 60n + 7n

  private constructor(options: ServerOptions) {
    this.#options = options
    const onRequest = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response)
    this.#server = options.tls ? createSecureServer(options.tls, onRequest) : createServer(onRequest)
  }

  static async start(options: ServerOptions = {}): Promise<FleetServer> {
    const server = new FleetServer(options)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    const { port } = server.#server.address() as AddressInfo
    server.url = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`
    return server
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** What the operator does with a node's .pub file. */
  register(pem: string): void {
    this.#nodes.set(pem, { id: this.#nextId++, online: false, onlineUntil: 0 })
  }

  /** Forgets all nodes, as a server without a database does when it starts again. */
  forget(): void {
    this.#nodes.clear()
  }

  /** Forgets the sessions: objects must be announced again. */
  expire(): void {
    this.#sessions.clear()
  }

  /** Ids of the nodes that are there. */
  get online(): bigint[] {
    return [...this.#nodes.values()].filter(({ online }) => online).map(({ id }) => id)
  }

  /** Whole replies, in the order of their messages' ids. */
  get replies(): Received[] {
    return [...this.#expected]
      .filter(([, { missing }]) => missing.size === 0)
      .map(([id, { metadata, error }]) => {
        const lookup = (id: string) => readObject(id, this.#objects.get(id)!)
        return { id, metadata, ...(error ? { error } : { content: unpackMessage(lookup, id, 2 ** 30) }) }
      })
  }

  /** Puts a message down for a node; gives its id. */
  instruct(
    nodeId: bigint,
    type: string,
    arrays: ReadonlyMap<string, FlowerArray> = new Map(),
    config: Record<string, RecordValue> = { 'server-round': 1n },
    more: Partial<Metadata> = {},
  ): string {
    const objects: Objects = new Map()
    const names = new Map([
      ['arrays', addArrayRecord(objects, arrays)],
      ['config', addObject(objects, 'ConfigRecord', [], writeValues('ConfigRecord', new Map(Object.entries(config))))],
    ])
    const content = addObject(objects, 'RecordDict', names.values(), writeNames(names))
    const metadata = metadataOf({
      runId,
      srcNodeId: 1n,
      dstNodeId: nodeId,
      ttl: 43200,
      messageType: type,
      createdAt: Date.now() / 1000 + this.#queue.length * 1e-3,
      srcTaskId: 5n,
      ...more,
    })
    const id = addObject(objects, 'Message', [content], flowerMessage.encode({ metadata }))
    for (const [id, object] of objects) this.#objects.set(id, object)
    this.#queue.push({
      metadata: { ...metadata, messageId: id },
      tree: treeOf(objects, id),
      given: false,
      confirmed: false,
    })
    return id
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const method = request.url!.replace('/v1/fleet/', '') as FleetMethod
    const date = new Date(Date.now() + 1000 * (this.#options.ahead ?? 0))
    response.setHeader('date', date.toUTCString())
    this.calls.push(method)
    const meddled = this.#options.meddle?.(method, this.calls.length)
    if (meddled === 'drop') return void request.socket.destroy()
    try {
      if (typeof meddled === 'number') throw new Refusal(meddled)
      this.#authenticate(request, date)
      const { request: asked, response: answered } = fleetMethods[method]
      const value = asked.decode(body)
      if (!Buffer.from(asked.encode(value as never)).equals(body))
        this.faults.push(`${method}: not as Flower writes it`)
      const answer = answered.encode(this.#answer(method, value as never, body, request.headers) as never)
      if (meddled === 'late') return void request.socket.destroy()
      response.setHeader('content-type', 'application/protobuf')
      response.end(this.#options.distort?.(method, answer) ?? answer)
    } catch (error) {
      if (!(error instanceof Refusal)) this.faults.push(`${method}: ${(error as Error).stack}`)
      const { status, code, detail } =
        error instanceof Refusal ? error : new Refusal(500, undefined, 'Internal server error.')
      response.statusCode = status
      response.end(JSON.stringify({ ...(code !== undefined && { code }), detail }))
    }
  }

  #authenticate({ headers, method }: IncomingMessage, now: Date): void {
    if (method !== 'POST') throw new Refusal(405)
    if (headers['content-type'] !== 'application/protobuf') throw new Refusal(415, 1002)
    const [pem, stamp, signature] = ['public-key', 'timestamp', 'signature'].map((name) =>
      String(headers[`flwr-${name}`]),
    )
    const age = (now.getTime() - new Date(stamp!).getTime()) / 1000
    const key = createPublicKey(Buffer.from(pem!, 'base64'))
    const known = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/.test(stamp!)
    if (!known || !verify('sha256', Buffer.from(stamp!), key, Buffer.from(signature!, 'base64'))) throw new Refusal(401)
    if (!(age > -5 && age < 305)) throw new Refusal(401, undefined, 'Invalid SuperNode authentication')
  }

  /** The node that a request speaks for. */
  #nodeOf(pem: string, id: bigint | undefined): Node {
    const node = this.#nodes.get(pem)
    if (node === undefined || node.id !== id) throw new Refusal(401, undefined, 'Invalid SuperNode authentication')
    return node
  }

  // biome-ignore lint/suspicious/noExplicitAny: each method has its own request
  #answer(method: FleetMethod, value: any, body: Buffer, headers: IncomingMessage['headers']): object {
    const pem = Buffer.from(String(headers['flwr-public-key']), 'base64').toString()
    const { auth, delivery = 'once' } = this.#options
    if (method === 'register-node' || method === 'activate-node') {
      if (Buffer.from(value.publicKey).toString() !== pem) throw new Refusal(401)
      if (method === 'register-node') {
        if (auth) throw new Refusal(412, 2001)
        if (this.#nodes.has(pem)) throw new Refusal(412, 23)
        this.register(pem)
        return { nodeId: this.#nodes.get(pem)!.id }
      }
      const node = this.#nodes.get(pem)
      if (node === undefined || (node.online && Date.now() < node.onlineUntil)) throw new Refusal(412, 2004)
      node.online = true
      node.onlineUntil = Date.now() + 2000 * value.heartbeatInterval
      return { nodeId: node.id }
    }
    const node = this.#nodeOf(pem, value.node?.nodeId ?? value.nodeId)
    if (method === 'send-node-heartbeat') {
      node.online = true
      node.onlineUntil = Date.now() + 2000 * value.heartbeatInterval
      return { success: true }
    }
    if (method === 'deactivate-node') {
      node.online = false
      return {}
    }
    if (method === 'pull-messages') {
      const next = this.#queue.find(
        ({ metadata, given, confirmed }) =>
          metadata.dstNodeId === node.id && !(delivery === 'once' ? given : confirmed),
      )
      if (next === undefined) return {}
      next.given = true
      return { messages: [{ metadata: next.metadata, content: {} }], trees: [next.tree] }
    }
    if (!this.running) throw new Refusal(403, 2007, 'The current run status does not allow this Fleet API operation.')
    if (method === 'pull-object') {
      const content = this.#objects.get(value.objectId)
      return content === undefined ? { found: false } : { found: true, available: true, content }
    }
    if (method === 'confirm-message-received') {
      const message = this.#queue.find(({ metadata }) => metadata.messageId === value.messageObjectId)
      if (message !== undefined) message.confirmed = true
      return {}
    }
    ;(method === 'push-messages' ? this.announced : this.pushed).push(body.toString('hex'))
    return method === 'push-messages' ? this.#take(value, node) : this.#store(value)
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  #take({ messages, trees, runtimes }: any, node: Node): object {
    const [{ metadata, content, error }] = messages
    const [tree] = trees
    const asked = this.#queue.find((message) => message.metadata.messageId === metadata.replyToMessageId)
    const now = Date.now() / 1000
    const wrong = [
      asked === undefined && 'an answer to nothing',
      (content === undefined) === (error === undefined) && 'content and error',
      metadata.srcNodeId !== node.id && 'of another node',
      metadata.dstNodeId !== 1n && 'not to the server',
      metadata.messageId !== tree.objectId && 'another id than its object',
      metadata.createdAt + metadata.ttl > asked!.metadata.createdAt + asked!.metadata.ttl + 0.1 && 'it lives too long',
      !(metadata.createdAt <= now && metadata.createdAt > now - 600) && 'made at another time',
      metadata.ttl <= 0 && 'no time to live',
      metadata.dstTaskId !== asked!.metadata.srcTaskId && 'to another task',
      metadata.messageType !== asked!.metadata.messageType && 'of another type',
      runtimes.length !== 1 && 'no running time',
    ].filter((fault) => fault !== false)
    if (wrong.length > 0) {
      this.faults.push(`push-messages: ${wrong.join(', ')}`)
      throw new Refusal(500)
    }
    const missing = new Set(idsOf(tree).filter((id) => !this.#objects.has(id)))
    const before = this.#expected.get(metadata.messageId)
    if (before === undefined) this.#expected.set(metadata.messageId, { metadata, error, missing })
    const sessionId = randomUUID()
    this.#sessions.add(sessionId)
    const objectsToPush = [...(before?.missing ?? missing)]
    const results = new Map(this.#options.delivery === 'least' ? [] : [[metadata.messageId, 0n]])
    return { reconnect: { reconnect: 5n }, results, objectsToPush, sessionId }
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  #store({ objectId: id, content, sessionId }: any): object {
    const waiting = [...this.#expected.values()].filter(({ missing }) => missing.has(id))
    if (!this.#sessions.has(sessionId) || waiting.length === 0) return { stored: false }
    if (objectId(content) !== id) {
      this.faults.push(`push-object: ${id} has other bytes`)
      return { stored: false }
    }
    this.#objects.set(id, content)
    for (const { missing } of waiting) missing.delete(id)
    return { stored: true }
  }
}
