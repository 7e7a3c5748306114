#!/usr/bin/env node
// Writes docs/protocol.schema.json: the messages between clients, server and workers and the records of the journal as JSON Schema, from the
// schemas that judge them. A test compares.
//
// Usage: node scripts/document-protocol.mjs    (after tsc)
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { root, runMain } from './lib/project.mjs'

/** @param {string} file */
const load = (file) => import(pathToFileURL(join(root, 'dist', 'federated', file)).href)

/** The schemas by what docs/protocol.md calls them. */
async function schemas() {
  const link = await load('link/messages.js')
  const calls = await load('nats/calls.js')
  const work = await load('workers/assignment.js')
  return {
    description: link.descriptionSchema,
    known: link.knownSchema,
    notice: link.noticeSchema,
    word: link.wordSchema,
    reply: link.replySchema,
    call: calls.callSchema,
    'known, as NATS carries it': calls.knownEntrySchema,
    'offer, as NATS carries it': calls.offerEntrySchema,
    assignment: work.assignmentSchema,
    done: work.doneSchema,
    record: (await load('coordinator/records.js')).recordSchema,
  }
}

/** Values that are not safe integers are never sent: their bounds would be on every count. @param {unknown} key @param {unknown} value */
const withoutSafe = (key, value) =>
  (key === 'maximum' && value === Number.MAX_SAFE_INTEGER) || (key === 'minimum' && value === -Number.MAX_SAFE_INTEGER)
    ? undefined
    : value

/** The text of docs/protocol.schema.json. */
export async function documentProtocol() {
  const $defs = Object.fromEntries(
    Object.entries(await schemas()).map(([name, schema]) => {
      const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
      return [name, rest]
    }),
  )
  const $schema = 'https://json-schema.org/draft/2020-12/schema'
  return `${JSON.stringify({ $schema, $defs }, withoutSafe, 1)}\n`
}

await runMain(import.meta, 'document-protocol', async () => {
  writeFileSync(join(root, 'docs', 'protocol.schema.json'), await documentProtocol())
  console.log('document-protocol: docs/protocol.schema.json')
})
