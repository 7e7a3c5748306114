/** From a message on disk to its reply in the outbox. */
import { FedloraError, isFedloraError } from '../../errors.js'
import { packReply, type ReplyContent, type ReplyError, unpackMessage } from '../objects/content.js'
import type { Lookup } from '../objects/object.js'
import type { RecordValue, ValueRecord } from '../objects/values.js'
import { fleetMethods, type Metadata, metadataOf } from '../wire/fleet.js'
import type { About } from './events.js'
import type { Pulled } from './inbox.js'
import type { Instruction, Reply, Work } from './instruction.js'
import type { Outbox } from './outbox.js'

/** Flower's code for work that failed, and the id of its server. */
const workFailed = 2n
const server = 1n

/** What a message is, as far as its envelope says it. */
export function aboutOf({ messageId, runId, messageType }: Metadata): About {
  return { id: messageId, runId: String(runId), kind: messageType }
}

/** The only one of the records, empty when there is none. @throws FedloraError `E_UNSUPPORTED` when there are several. */
function only<R extends Map<string, unknown>>(records: ReadonlyMap<string, R>, what: string): R {
  if (records.size > 1) {
    const message = `flower: the instruction has ${records.size} records of ${what} (${[...records.keys()].slice(0, 8).join(', ')}), expected one`
    throw new FedloraError('E_UNSUPPORTED', message, { records: records.size })
  }
  return records.values().next().value ?? (new Map() as unknown as R)
}

function roundOf(config: ValueRecord): { round?: number } {
  const round = config.get('server-round')
  return typeof round === 'bigint' && round >= 0n && round <= Number.MAX_SAFE_INTEGER ? { round: Number(round) } : {}
}

/** @throws FedloraError for what is no instruction. */
export function readInstruction(lookup: Lookup, { metadata }: Pulled, maxBytes: number): Instruction {
  const { arrays, configs, metrics } = unpackMessage(lookup, metadata.messageId, maxBytes)
  const config = only(configs, 'configuration')
  return {
    ...aboutOf(metadata),
    ...roundOf(config),
    arrays: only(arrays, 'arrays'),
    config,
    metrics: only(metrics, 'metrics'),
  }
}

/** @throws FedloraError `E_ARGUMENT` for what is no reply. */
function contentOf(reply: Reply): ReplyContent {
  const { arrays, metrics } = reply ?? {}
  const isMap = arrays === undefined || arrays instanceof Map
  if (!isMap || typeof metrics !== 'object' || metrics === null) {
    throw new FedloraError('E_ARGUMENT', 'flower: work gave no reply; expected { arrays?: Map, metrics: { … } }', {})
  }
  return { arrays, metrics: new Map(Object.entries(metrics)) }
}

export interface Answered {
  about: About
  bytes: number
  /** Of the work. */
  seconds: number
  metrics: ReadonlyMap<string, RecordValue>
  /** The reply says that the work failed. */
  error?: FedloraError
}

/** The failure of an instruction that is told the server; what is wrong with this machine is thrown instead. */
function asRefusal(error: unknown): FedloraError {
  if (isFedloraError(error)) {
    if (['E_DISPOSED', 'E_BUSY', 'E_IO', 'E_DISK_FULL'].includes(error.code)) throw error
    return error
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return new FedloraError('E_INTERNAL', message, {}, error)
}

/** The reply to an instruction: the body of `push-messages`, and its objects. It is made once, and never again. */
function seal({ metadata }: Pulled, says: ReplyContent | ReplyError, seconds: number) {
  const createdAt = Date.now() / 1000
  const envelope = metadataOf({
    runId: metadata.runId,
    srcNodeId: metadata.dstNodeId,
    dstNodeId: server,
    replyToMessageId: metadata.messageId,
    groupId: metadata.groupId,
    ttl: metadata.createdAt + metadata.ttl - createdAt,
    messageType: metadata.messageType,
    createdAt,
    dstTaskId: metadata.srcTaskId,
  })
  const { id, objects, tree } = packReply(envelope, says)
  const carried = 'reason' in says ? { content: undefined, error: says } : { content: {}, error: undefined }
  const push = fleetMethods['push-messages'].request.encode({
    node: { nodeId: metadata.dstNodeId },
    messages: [{ metadata: { ...envelope, messageId: id }, ...carried }],
    trees: [tree],
    runtimes: [seconds],
  })
  return { push, objects }
}

/**
 * Has the work done and its reply written down. A failure of the work is the reply.
 * @param read - gives the instruction; what it throws counts as a failure of the work.
 * @throws FedloraError `E_DISPOSED`, `E_BUSY`, `E_IO` of this machine; the signal's reason.
 */
export async function answer(
  read: () => Instruction,
  pulled: Pulled,
  work: Work,
  outbox: Outbox,
  signal: AbortSignal,
): Promise<Answered> {
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  let about = aboutOf(pulled.metadata)
  let metrics: ReadonlyMap<string, RecordValue> = new Map()
  let sealed: ReturnType<typeof seal>
  let error: FedloraError | undefined
  try {
    const instruction = read()
    about = { ...about, ...roundOf(instruction.config) }
    const says = contentOf(await work(instruction, signal))
    signal.throwIfAborted()
    sealed = seal(pulled, says, seconds())
    metrics = says.metrics
  } catch (thrown) {
    signal.throwIfAborted()
    error = asRefusal(thrown)
    sealed = seal(pulled, { code: workFailed, reason: `${error.code}: ${error.message}`.slice(0, 2000) }, seconds())
  }
  await outbox.add(pulled.metadata.messageId, sealed.push, sealed.objects)
  const bytes = [...sealed.objects.values()].reduce((sum, { length }) => sum + length, sealed.push.length)
  return { about, bytes, seconds: seconds(), metrics, ...(error && { error }) }
}
