/** What a server is told, whole: the federation, where it listens, and where it keeps everything. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { type CoordinatorConfig, coordinatorSchema, parseCoordinatorOptions } from '../federated/coordinator/options.js'
import { checkQueue } from '../federated/coordinator/workers.js'
import { limitsSchema, listenSchema, tlsSchema } from '../federated/https/options.js'
import { natsSchema } from '../federated/nats/options.js'
import { privacySchema } from '../federated/privacy-options.js'
import { parseOptions } from '../options/parse.js'
import { checkMeasurable, type EvaluateConfig, evaluateSchema, parseEvaluate } from './evaluate-options.js'

const placeShape = {
  folder: z
    .string()
    .min(1)
    .describe('where the server keeps everything: journal, blobs, keys, certificates and the adapter (or --folder)'),
  listen: listenSchema.prefault({}).describe('where the server is found'),
  tls: tlsSchema.describe('its certificate: its own authority’s, or the operator’s'),
  nats: natsSchema
    .optional()
    .describe(
      'a NATS that keeps journal and blobs, and carries the federation; clients by HTTPS only where listen.port is given',
    ),
  limits: limitsSchema.prefault({}).describe('what it bears'),
  log: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'])
    .default('warn')
    .describe('least severe lines of the log, JSON on the standard error stream'),
}

export const serverSchema = z.strictObject({
  ...coordinatorSchema.shape,
  privacy: privacySchema.optional().describe('the same as federation.privacy'),
  evaluate: evaluateSchema
    .optional()
    .describe('rows on which the server measures the global adapter; it holds the model in memory then, and only then'),
  ...placeShape,
})

/** Options of a server, as its config file has them. */
export type ServerOptions = z.input<typeof serverSchema>

export type ServerConfig = Omit<z.output<typeof serverSchema>, keyof CoordinatorConfig | 'privacy' | 'evaluate'> & {
  coordinator: CoordinatorConfig
  /** Undefined: nothing is measured. */
  evaluate: EvaluateConfig | undefined
  /** Whether clients may come by HTTPS. */
  https: boolean
}

/** @throws FedloraError `E_CONFIG`, also for what only a simulation has; `E_UNSUPPORTED`. */
export function parseServerOptions(options: unknown): ServerConfig {
  checkMeasurable((options as Partial<ServerOptions> | undefined)?.evaluate)
  const { folder, listen, tls, nats, limits, log } = parseOptions(serverSchema, options, 'server options')
  const { privacy, evaluate, ...rest } = options as Record<string, unknown>
  for (const key of Object.keys(placeShape)) delete rest[key]
  if (privacy !== undefined) {
    const federation = rest.federation as Record<string, unknown>
    if (federation.privacy !== undefined) {
      const message = 'server options: privacy and federation.privacy say the same thing; leave one of them out'
      throw new FedloraError('E_CONFIG', message, { field: 'privacy' })
    }
    rest.federation = { ...federation, privacy }
  }
  const { listen: written } = options as ServerOptions
  const https = nats === undefined || written?.port !== undefined
  const coordinator = parseCoordinatorOptions(rest)
  if (nats === undefined) checkQueue(coordinator)
  return { folder, listen, tls, nats, limits, log, https, coordinator, evaluate: parseEvaluate(evaluate, coordinator) }
}
