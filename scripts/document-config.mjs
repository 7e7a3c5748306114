#!/usr/bin/env node
// Writes the tables of docs/configuration.md and docs/privacy.md: config fields from the schemas that check them, and which parts of a
// federation exclude one another. A test compares.
//
// Usage: node scripts/document-config.mjs    (after tsc)
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { root, runMain, ScriptError } from './lib/project.mjs'

export const pages = ['configuration.md', 'privacy.md']

const marker = /<!-- fields (\w+)( of \w+)? -->[\s\S]*?<!-- end -->/g

const load = (file) => import(pathToFileURL(join(root, 'dist', 'cli', file)).href)

const combinationsMarker = /<!-- combinations -->[\s\S]*?<!-- end -->/

/** The schemas by the name in a marker: `train`, `evaluate of simulate`. */
async function schemas() {
  const [{ modelSections }, { simulate }, { serverSections }] = await Promise.all([
    load('sections.js'),
    load('commands/simulate.js'),
    load('serve/sections.js'),
  ])
  const { name, folder, log, evaluate, listen, tls, nats, clients, workers, limits } = await serverSections()
  const federation = await simulate.sections()
  const { split } = federation
  return {
    ...(await modelSections()),
    split,
    federation: federation.federation,
    'evaluate of simulate': federation.evaluate,
    serve: z.strictObject({ name, folder, log }),
    'evaluate of serve': evaluate,
    listen,
    tls,
    nats,
    clients,
    workers,
    limits,
  }
}

const cell = (text) => text.replaceAll('|', '\\|')
const code = (text) => (text === '' ? '' : `\`${cell(text)}\``)

async function combinations() {
  const { combinationRows } = await import(pathToFileURL(join(root, 'dist', 'federated', 'combinations.js')).href)
  const rows = combinationRows.map(
    ({ one, other, because, cure }) => `| ${cell(one)} | ${cell(other)} | ${cell(because)} | ${cell(cure)} |`,
  )
  return `| this | excludes | because | cure |\n|---|---|---|---|\n${rows.join('\n')}`
}

/** The page with every marked table made anew. */
export async function documentConfig(text) {
  const table = await combinations()
  const page = text.replace(combinationsMarker, `<!-- combinations -->\n\n${table}\n\n<!-- end -->`)
  const [known, { describeOptions }] = await Promise.all([schemas(), load('help.js')])
  return page.replaceAll(marker, (_, section, of = '') => {
    const schema = known[section + of]
    if (schema === undefined) throw new ScriptError(`docs/configuration.md: no section "${section}${of}"`)
    const rows = describeOptions(schema).map(
      ({ name, type, default: value, description }) =>
        `| \`${name}\` | ${code(type)} | ${code(value)} | ${cell(description)} |`,
    )
    const head = '| field | type | default | what |\n|---|---|---|---|'
    return `<!-- fields ${section}${of} -->\n\n${head}\n${rows.join('\n')}\n\n<!-- end -->`
  })
}

await runMain(import.meta, 'document-config', async () => {
  for (const page of pages) {
    const path = join(root, 'docs', page)
    writeFileSync(path, await documentConfig(readFileSync(path, 'utf8')))
    console.log(`document-config: docs/${page}`)
  }
})
