/** docs/configuration.md: its tables are those of the schemas (so are those of docs/privacy.md), its examples run, its exit codes and places are true. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import type { z } from 'zod'
import { documentConfig, pages } from '../../scripts/document-config.mjs'
import { simulate } from '../../src/cli/commands/simulate.js'
import { describeOptions } from '../../src/cli/help.js'
import { modelSections } from '../../src/cli/sections.js'
import { serverSections } from '../../src/cli/serve/sections.js'
import { federationSchema } from '../../src/federated/options.js'
import { program, shell } from '../support/command.js'
import { fencedBlocks } from '../support/fenced-blocks.js'

const page = readFileSync(resolve('docs/configuration.md'), 'utf8')

t.test('the tables are current: node scripts/document-config.mjs', async (t) => {
  for (const name of pages) {
    const text = readFileSync(resolve('docs', name), 'utf8')
    t.ok((await documentConfig(text)) === text, `docs/${name} is as the script writes it`)
  }
  const stale = page.replace('| `rank` |', '| `rang` |')
  t.not(stale, page)
  t.notOk((await documentConfig(stale)) === stale, 'canary: a stale table is seen')
  const excluded = readFileSync(resolve('docs/privacy.md'), 'utf8')
  t.match(excluded, /^\| upload\.errorFeedback \| .* \|$/m)
  t.notOk(
    (await documentConfig(excluded.replace('| upload.', '| uplaod.'))) === excluded.replace('| upload.', '| uplaod.'),
  )
  t.ok((page.match(/^\| `/gm) ?? []).length > 100, 'every field has a row')
})

/** Fields that have a row, by the table that they stand in. */
function tablesOf(text: string): Set<string>[] {
  const tables = [...text.matchAll(/<!-- fields .*? -->([\s\S]*?)<!-- end -->/g)]
  return tables.map(([, rows]) => new Set([...rows!.matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name!)))
}

/** Fields of the sections of config files that have no row: of a section with fields, no one table has all of them. */
function undocumented(text: string, sections: Readonly<Record<string, z.ZodType>>): string[] {
  const tables = tablesOf(text)
  return Object.entries(sections).flatMap(([name, schema]) => {
    const fields = describeOptions(schema).map((option) => option.name)
    const inOne = (prefix: string) =>
      fields.length > 0 && tables.some((rows) => fields.every((f) => rows.has(prefix + f)))
    const isValue = fields.length === 0 && tables.some((rows) => rows.has(name))
    return isValue || inOne('') || inOne(`${name}.`) ? [] : [name]
  })
}

t.test('every field of every config file has a row', async (t) => {
  const files = { train: modelSections, simulate: simulate.sections!, serve: serverSections }
  for (const [command, sections] of Object.entries(files)) t.same(undocumented(page, await sections()), [], command)
  const without = (field: string) => page.replaceAll(new RegExp(`^\\| \`${field}\`.*\\n`, 'gm'), '')
  for (const [field, section] of [
    ['log', 'log'],
    ['listen.port', undefined],
    ['drainSeconds', 'limits'],
    ['admin.port', 'listen'],
  ] as const) {
    const missing = undocumented(without(field), await serverSections())
    t.same(missing, section === undefined ? [] : [section], `canary: ${field}`)
  }
})

t.test('the sections of other pages are valid', async (t) => {
  let sections = 0
  for (const name of ['privacy.md', 'federations.md']) {
    for (const { language, line, text } of fencedBlocks(readFileSync(resolve('docs', name), 'utf8'))) {
      const federation = language === 'yaml' ? (parse(text) as { federation?: object }).federation : undefined
      if (federation === undefined) continue
      sections++
      t.equal(federationSchema.safeParse(federation).error?.message, undefined, `${name}:${line}`)
    }
  }
  t.ok(sections >= 4, `${sections} sections`)
  t.notOk(federationSchema.safeParse({ rounds: 1, local: { steps: 1 }, clock: { compute: 'fast' } }).success, 'canary')
})

t.test('the examples run as printed', async (t) => {
  const root = t.testdir()
  cpSync(resolve('assets/gsm-3m'), join(root, 'model'), { recursive: true })
  const rows = (from: number) =>
    Array.from({ length: 12 }, (_, i) => ({ instruction: `Add ${from + i} and ${i}.`, output: String(from + 2 * i) }))
  for (const [name, from] of [
    ['monday', 0],
    ['tuesday', 50],
  ] as const) {
    writeFileSync(
      join(root, `${name}.jsonl`),
      rows(from)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    )
  }
  const files = [...page.matchAll(/```yaml file=(\S+)\n([\s\S]*?)```/g)]
  t.same(
    files.map(([, name]) => name),
    ['train.yaml', 'federation.yaml'],
  )
  for (const [, name, text] of files) writeFileSync(join(root, name!), text!)
  const run = async (line: string) => {
    const { code, stderr } = await shell(line.replace(/^fedlora /, `${process.execPath} ${program} `), root)
    return { code, stderr }
  }
  const consoles = [...page.matchAll(/```console\n([\s\S]*?)```/g)].map(([, text]) => text!)
  const commands = consoles.flatMap((text) => text.match(/^\$ (.*?)(?:\s{2,}#.*)?$/gm)!.map((line) => line.slice(2)))
  t.equal(commands.length, 9)
  // The last of them resumes a checkpoint by its number; the schedule of the page is one that cannot grow.
  const [schema, train, evaluate, typed, set, simulate, resume, longer, step] = commands
  for (const line of [
    schema!,
    `${train} --train.checkpointEvery 4 --train.keepCheckpoints 9`,
    evaluate!,
    simulate!,
    resume!,
  ]) {
    t.match(await run(line), { code: 0 }, line)
  }
  t.match(await run(longer!), { code: 1, stderr: /schedule "cosine" depends on their number/ }, longer!)
  t.match(await run(step!), { code: 0 }, step!)
  for (const line of [typed!, set!])
    t.match(
      await run(`${line} --train.maxSteps 1 --train.tensorboard false --set evaluate='{}'`),
      { code: 2 },
      'one of two alternatives in one place',
    )
  for (const line of [typed!, set!]) {
    const ended = await run(`${line} --output ${line === typed ? 'typed' : 'set'}`)
    t.match(ended, { code: 0 }, line)
  }
  const [a, b] = ['typed', 'set'].map((name) => readFileSync(join(root, name, 'recipe.json'), 'utf8'))
  t.equal(a, b, 'the same recipe')
  t.match(JSON.parse(a!), { train: { epochs: 3 }, adapter: { targetModules: ['q_proj', 'v_proj'] } })
  const wrong = readFileSync(join(root, 'train.yaml'), 'utf8').replace('batchSize: 4', 'batchSize: four')
  writeFileSync(join(root, 'train.yaml'), wrong)
  const [, message] = /```text\n(E_CONFIG: .*)\n```/.exec(page)!
  t.match(await run(train!), { code: 2, stderr: message! }, 'the mistake on the page')
})
