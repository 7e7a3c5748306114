/// <reference lib="esnext.disposable" preserve="true" />
/** `fedlora/server`: the server of a federation whose clients are other machines. It needs the folder of the base model, and no rows. */
export type { CoordinatorEvent } from '../federated/coordinator/events.js'
export type { Door, Registry } from '../federated/link/link.js'
export type { ClientStanding, Problem, RoundStanding, Standing } from '../federated/link/standing.js'
export type { WorkerEvent } from '../federated/workers/worker.js'
export { createServer, FederationServer } from './create-server.js'
export type { Standby } from './nats.js'
export type { ServerOptions } from './options.js'
export { type RunWorkerOptions, runWorker } from './run-worker.js'
