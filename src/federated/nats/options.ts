/** How a server comes to NATS, and what of it belongs to its federation. */
import { z } from 'zod'

const file = z.string().min(1)

/** `nats://host:4222`, several of one cluster with commas between. */
export const natsUrlSchema = z
  .string()
  .regex(
    /^(nats|tls):\/\/[^\s,/]+(\s*,\s*(nats|tls):\/\/[^\s,/]+)*$/,
    'expected nats://host:port or tls://host:port, several with commas',
  )

/** What names in NATS begin with. */
export const natsSpaceSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,32}$/, "expected up to 32 letters, digits, '_' and '-'")
  .default('fedlora')

export const natsTlsSchema = z
  .strictObject({
    authority: file
      .optional()
      .describe('PEM file of the authority of NATS’ certificate; default: those of this machine'),
    certificate: file.optional().describe('PEM file of a certificate of this server, for a NATS that asks for one'),
    key: file.optional().describe('PEM file of its private key'),
  })
  .superRefine(({ certificate, key }, context) => {
    if ((certificate === undefined) === (key === undefined)) return
    const [path, beside] = key === undefined ? ['key', 'certificate'] : ['certificate', 'key']
    context.addIssue({ code: 'custom', path: [path], message: `expected a file beside tls.${beside}` })
  })

export const natsSchema = z.strictObject({
  url: natsUrlSchema.describe('where NATS is: nats://host:port or tls://host:port; several of one cluster with commas'),
  credentials: file
    .optional()
    .describe(
      'file that proves who the server is: the seed that `fedlora nats init` writes, a .creds file, or a token',
    ),
  tls: natsTlsSchema.optional().describe('how NATS proves who it is'),
  space: natsSpaceSchema.describe('what names in NATS begin with: one for each federation that NATS carries'),
  replicas: z.int().min(1).max(5).default(1).describe('servers of the cluster that keep each stream and bucket'),
  quota: z
    .int()
    .min(2 ** 20)
    .default(2 ** 30)
    .describe('bytes that a client’s bucket may hold'),
  monitor: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'monitoring page of NATS, such as http://127.0.0.1:8222: asked whether it writes to disk before it acknowledges',
    ),
  lease: z
    .number()
    .min(1)
    .max(3600)
    .default(10)
    .describe('seconds of silence of the server that leads, after which one that stands by takes over'),
})
export type NatsOptions = z.input<typeof natsSchema>
export type NatsConfig = z.output<typeof natsSchema>
