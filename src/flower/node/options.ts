/** Options of a node: where the server is, who the node is, and where it keeps what is under way. */
import { z } from 'zod'
import type { Work } from './instruction.js'

const path = z.string().min(1)

const seconds = z.number().min(0)

const paceSchema = z.strictObject({
  shortest: seconds,
  longest: seconds,
  poll: seconds,
  heartbeat: seconds,
  grace: seconds,
})

export const nodeShape = {
  url: z.string().min(1).describe('https://host:port of the SuperLink; http only for this machine'),
  ca: path
    .optional()
    .describe('PEM file of the authority that signed the certificate of the server; default: those of Node'),
  insecure: z.boolean().default(false).describe('allow http to other machines'),
  key: path.describe('private key, as fedlora flower keygen writes it'),
  folder: path.describe("the node's own folder: its id, instructions and replies under way"),
  idle: z.number().min(0).optional().describe('leave after so many seconds without an instruction; default: never'),
  maxBytes: z
    .int()
    .min(1)
    .default(2 ** 31)
    .describe('larger instructions are not taken'),
  pace: paceSchema.optional().describe('seconds between questions, tries and heartbeats; the usual ones are Flower’s'),
  signal: z.instanceof(AbortSignal).optional().describe('ends it; the next start goes on'),
}

export const nodeOptionsSchema = z.strictObject({
  ...nodeShape,
  work: z
    .custom<Work>((value) => typeof value === 'function', 'expected a function of an instruction')
    .describe('does what the server asks'),
})

/** Options of `runFlowerNode`. */
export type FlowerNodeOptions = z.input<typeof nodeOptionsSchema>
