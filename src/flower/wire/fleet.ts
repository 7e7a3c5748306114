/**
 * The messages of Flower's Fleet service as versions 1.40 to 1.43 speak it over HTTP: `POST /v1/fleet/<method>`, a message as the body,
 * a message as the answer. Numbers of fields are those of the published protocol; fields that this client has no use for are left out.
 */
import { bool, bytes, double, sint64, text, uint64 } from './kinds.js'
import { field, type Message, map, message, optional, recursive, repeated, type ValueOf } from './message.js'

const node = message('Node', { nodeId: field(1, uint64) })

const metadataFields = {
  runId: field(1, uint64),
  messageId: field(2, text),
  srcNodeId: field(3, uint64),
  dstNodeId: field(4, uint64),
  replyToMessageId: field(5, text),
  groupId: field(6, text),
  /** Seconds from `createdAt`. */
  ttl: field(7, double),
  messageType: field(8, text),
  /** Seconds since 1970. */
  createdAt: field(9, double),
  srcTaskId: optional(10, uint64),
  dstTaskId: optional(11, uint64),
}

/** Who says what to whom. */
export type Metadata = ValueOf<typeof metadataFields>

const metadata = message('Metadata', metadataFields)

/** Metadata with what is given, the rest at its defaults. */
export function metadataOf(given: Partial<Metadata>): Metadata {
  return { ...metadata.initial(), ...given }
}

/** `content` is there and empty: what a message says travels as objects. */
export const flowerMessage = message('Message', {
  metadata: optional(1, metadata),
  content: optional(2, message('RecordDict', {})),
  error: optional(3, message('Error', { code: field(1, sint64), reason: field(2, text) })),
})

/** An object's id and the objects below it. */
export interface ObjectTree {
  objectId: string
  children: ObjectTree[]
}

const objectTree: Message<ObjectTree> = message('ObjectTree', {
  objectId: field(1, text),
  children: repeated(
    2,
    recursive(() => objectTree),
  ),
})

/** Request and response of each method, by its name in the path. */
export const fleetMethods = {
  'register-node': {
    request: message('RegisterNodeFleetRequest', { publicKey: field(1, bytes) }),
    response: message('RegisterNodeFleetResponse', { nodeId: field(1, uint64) }),
  },
  'activate-node': {
    request: message('ActivateNodeRequest', { publicKey: field(1, bytes), heartbeatInterval: field(2, double) }),
    response: message('ActivateNodeResponse', { nodeId: field(1, uint64) }),
  },
  'deactivate-node': {
    request: message('DeactivateNodeRequest', { nodeId: field(1, uint64) }),
    response: message('DeactivateNodeResponse', {}),
  },
  'unregister-node': {
    request: message('UnregisterNodeFleetRequest', { nodeId: field(1, uint64) }),
    response: message('UnregisterNodeFleetResponse', {}),
  },
  'send-node-heartbeat': {
    request: message('SendNodeHeartbeatRequest', { node: optional(1, node), heartbeatInterval: field(2, double) }),
    response: message('SendNodeHeartbeatResponse', { success: field(1, bool) }),
  },
  'pull-messages': {
    request: message('PullMessagesRequest', { node: optional(1, node) }),
    response: message('PullMessagesResponse', {
      messages: repeated(2, flowerMessage),
      trees: repeated(3, objectTree),
    }),
  },
  'push-messages': {
    request: message('PushMessagesRequest', {
      node: optional(1, node),
      messages: repeated(2, flowerMessage),
      trees: repeated(3, objectTree),
      /** Seconds that the work took, a message each. */
      runtimes: repeated(4, double),
    }),
    response: message('PushMessagesResponse', {
      reconnect: optional(1, message('Reconnect', { reconnect: field(1, uint64) })),
      results: map(2, text, uint64),
      objectsToPush: repeated(3, text),
      sessionId: field(4, text),
    }),
  },
  'pull-object': {
    request: message('PullObjectRequest', {
      node: optional(1, node),
      runId: field(2, uint64),
      objectId: field(3, text),
    }),
    response: message('PullObjectResponse', {
      found: field(1, bool),
      available: field(2, bool),
      content: field(3, bytes),
    }),
  },
  'push-object': {
    request: message('PushObjectRequest', {
      node: optional(1, node),
      runId: field(2, uint64),
      objectId: field(3, text),
      content: field(4, bytes),
      sessionId: field(5, text),
    }),
    response: message('PushObjectResponse', { stored: field(1, bool) }),
  },
  'confirm-message-received': {
    request: message('ConfirmMessageReceivedRequest', {
      node: optional(1, node),
      runId: field(2, uint64),
      messageObjectId: field(3, text),
    }),
    response: message('ConfirmMessageReceivedResponse', {}),
  },
}

export type FleetMethod = keyof typeof fleetMethods
export type Request<M extends FleetMethod> = Parameters<(typeof fleetMethods)[M]['request']['encode']>[0]
export type Response<M extends FleetMethod> = ReturnType<(typeof fleetMethods)[M]['response']['decode']>
