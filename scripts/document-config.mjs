#!/usr/bin/env node
// Writes the tables of config fields in docs/configuration.md, from the schemas that check them. A test compares.
//
// Usage: node scripts/document-config.mjs    (after tsc)
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root, runMain, ScriptError } from './lib/project.mjs'

const marker = /<!-- fields (\w+)( of \w+)? -->[\s\S]*?<!-- end -->/g

const load = (file) => import(pathToFileURL(join(root, 'dist', 'cli', file)).href)

/** The schemas by the name in a marker: `train`, `evaluate of simulate`. */
async function schemas() {
  const [{ modelSections }, { simulate }] = await Promise.all([load('sections.js'), load('commands/simulate.js')])
  const federation = await simulate.sections()
  const { split } = federation
  return {
    ...(await modelSections()),
    split,
    federation: federation.federation,
    'evaluate of simulate': federation.evaluate,
  }
}

const cell = (text) => text.replaceAll('|', '\\|')
const code = (text) => (text === '' ? '' : `\`${cell(text)}\``)

/** The page with every marked table made anew. */
export async function documentConfig(page) {
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
  const path = join(root, 'docs', 'configuration.md')
  writeFileSync(path, await documentConfig(readFileSync(path, 'utf8')))
  console.log('document-config: docs/configuration.md')
})
