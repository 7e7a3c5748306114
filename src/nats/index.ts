/**
 * `fedlora/nats`: a federation carried by NATS JetStream, where one machine is not enough, or clients already reach a NATS server. Needs the
 * packages `@nats-io/transport-node`, `@nats-io/jetstream`, `@nats-io/kv`, `@nats-io/obj` and `@nats-io/nkeys`.
 */
export { addNatsClients, type NatsAdd, type NatsAddOptions } from '../federated/nats/add.js'
export { type Bucket, NatsBlobs, openBucket } from '../federated/nats/blobs.js'
export { connectNats, type NatsPlace, type NatsTls } from '../federated/nats/connect.js'
export { checkDurable } from '../federated/nats/durability.js'
export { initNats, type NatsInit, type NatsInitOptions } from '../federated/nats/init.js'
export { NatsJournal, type NatsJournalOptions } from '../federated/nats/journal.js'
export { type Leader, Lease, type LeaseOptions } from '../federated/nats/lease.js'
export { NatsLink, type NatsLinkParts } from '../federated/nats/link.js'
export { type Names, namesOf, tokenOf } from '../federated/nats/names.js'
export { NatsQueue, type NatsQueueOptions } from '../federated/nats/queue.js'
export { type NatsConfigInput, type NatsUser, natsConfig } from '../federated/nats/rights.js'
export { NatsServer, type NatsServerParts } from '../federated/nats/serve.js'
