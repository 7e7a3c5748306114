/** Where a server listens, how it proves who it is, and what it bears. */
import { z } from 'zod'

const port = z.int().min(0).max(65535)
const file = z.string().min(1)
const bytes = z.int().min(1)

export const listenSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .optional()
    .describe('address or name that the server listens at; default: every address of this machine'),
  port: port
    .default(8443)
    .describe('port of the clients; 0: the system chooses. Beside nats only where it is written down'),
  publicUrl: z
    .url({ protocol: /^https$/ })
    .optional()
    .describe(
      'https address by which clients reach the server, when it is not its own: behind a proxy, or a name of another port',
    ),
  admin: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1').describe('address of the operator’s side; it speaks plain HTTP'),
      port: port.default(8444).describe('port of the operator’s side; 0: the system chooses'),
    })
    .prefault({})
    .describe('metrics, health and the commands of the operator'),
})
export type ListenOptions = z.input<typeof listenSchema>
export type ListenConfig = z.output<typeof listenSchema>

export const tlsSchema = z
  .union([
    z.literal(false),
    z.strictObject({
      names: z
        .array(z.string().min(1).max(253))
        .max(100)
        .default([])
        .describe('further host names and addresses of the certificate; the first one stands in join tokens'),
      certificate: file
        .optional()
        .describe('PEM file of the operator’s own certificate, with what lies between it and its authority'),
      key: file.optional().describe('PEM file of its private key'),
      clientAuthority: file
        .optional()
        .describe(
          'PEM file of an authority: clients without a certificate of it are not talked to (beside their signatures)',
        ),
    }),
  ])
  .prefault({})
  .superRefine((tls, context) => {
    if (tls !== false && (tls.certificate === undefined) !== (tls.key === undefined)) {
      const [path, beside] = tls.key === undefined ? ['key', 'certificate'] : ['certificate', 'key']
      context.addIssue({ code: 'custom', path: [path], message: `expected a file beside tls.${beside}` })
    }
  })
  .describe(
    'default: a certificate authority of its own, made at the first start; false: plain HTTP, for a proxy that ends TLS',
  )
export type TlsOptions = z.input<typeof tlsSchema>
export type TlsConfig = z.output<typeof tlsSchema>

const rate = (perSecond: number, burst: number) =>
  z
    .strictObject({
      perSecond: z.number().positive().max(1e6).default(perSecond).describe('in the long run'),
      burst: z.number().min(1).max(1e6).default(burst).describe('at once'),
    })
    .prefault({})

export const limitsSchema = z.strictObject({
  connections: z
    .int()
    .min(1)
    .default(1500)
    .describe(
      'open connections, of 45 KiB each, or 150 once it has brought an upload; further ones are closed at once, and their clients come again',
    ),
  headerSeconds: z
    .number()
    .min(0.1)
    .max(600)
    .default(10)
    .describe('for the handshake of a connection, and for the header of a request'),
  headerBytes: bytes.min(4096).default(16_384).describe('of all header fields of a request'),
  messageBytes: bytes.default(4 * 2 ** 20).describe('of one message; blobs have the limits of their round'),
  messageMemory: bytes.default(64 * 2 ** 20).describe('of all messages that are being received'),
  requestsPerClient: z.int().min(1).default(4).describe('requests of a client at a time, one upload among them'),
  waiting: z
    .int()
    .min(0)
    .default(500)
    .describe(
      'clients that wait for news in an open connection, which takes 45 to 150 KiB; the others are told to come again after one to two times waitSeconds',
    ),
  waitSeconds: z.number().min(0).max(300).default(25).describe('that a client waits for news in one request'),
  clientRate: rate(20, 200).describe('requests of a client'),
  strangerRate: rate(5, 100).describe('requests of an address that prove nobody, enrolments among them'),
  uploads: z
    .int()
    .min(1)
    .default(32)
    .describe(
      'uploads that are received at a time; others wait for their turn, but no longer than a second for one that is slow',
    ),
  spoolBytes: bytes.default(16 * 2 ** 30).describe('that uploads under way have announced; further ones wait'),
  slowestBytesPerSecond: z
    .number()
    .min(0)
    .default(8192)
    .describe('of a sender; slower ones are cut off, and go on later'),
  slownessSeconds: z.number().min(0.1).max(3600).default(30).describe('over which slowness is measured'),
  drainSeconds: z.number().min(0).max(3600).default(20).describe('for requests under way when the server stops'),
  lingerSeconds: z
    .number()
    .min(0)
    .max(3600)
    .default(60)
    .describe('that fedlora serve waits, at most, for clients to hear that the federation is over'),
})
export type LimitsOptions = z.input<typeof limitsSchema>
export type LimitsConfig = z.output<typeof limitsSchema>
