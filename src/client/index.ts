/// <reference lib="esnext.disposable" preserve="true" />
/** `fedlora/client`: taking part in a federation whose server is another machine. Rows stay here; what is sent can be looked at first. */
export type { ParticipantEvent, ParticipantResult } from '../federated/participant/events.js'
export type { LimitsOptions } from '../federated/participant/limits.js'
export type { Outgoing } from '../federated/participant/outgoing.js'
export type { Approve } from '../federated/participant/parts.js'
export { type JoinFederationOptions, joinFederation } from './join-federation.js'
