/** docs/threats.md names the tests that answer its rows: each of them is there. docs/protocol.md: routes, messages and records are those of the code. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { recordSchema } from '../../src/federated/coordinator/records.js'
import { paths, protocolVersion, versionField } from '../../src/federated/https/wire.js'
import {
  descriptionSchema,
  knownSchema,
  noticeSchema,
  replySchema,
  wordSchema,
} from '../../src/federated/link/messages.js'

const read = (path: string) => readFileSync(resolve(path), 'utf8')

/** Rows of tables whose last cell names no test, a test that is not there, or a file without one of the titles behind it. */
function problems(page: string): string[] {
  const rows = page.split('\n').filter((line) => /^\|.*\|$/.test(line) && !/^\|[-|]+\|$/.test(line))
  return rows.flatMap((row) => {
    const cells = row.slice(1, -1).split(' | ')
    const [what, , tests] = cells
    if (cells.length !== 3 || /^\s*(who|what .*)\s*$/.test(what!) || !/tested|test\//.test(row)) {
      return /^\| (who|the |a client|files from)/.test(row) || /tested by/.test(row) ? [] : [`no test: ${what!.trim()}`]
    }
    const named = [...tests!.matchAll(/`(test\/[^`]+)`((?:,? "[^"]+")*)/g)]
    if (named.length === 0) return [`no test: ${what!.trim()}`]
    return named.flatMap(([, file, titles]) => {
      if (!existsSync(resolve(file!))) return [`${file} is not there`]
      const text = read(file!)
      return [...titles!.matchAll(/"([^"]+)"/g)].flatMap(([, title]) =>
        text.includes(title!) ? [] : [`${file}: no "${title}"`],
      )
    })
  })
}

t.test('every threat has a test, and every test that is named is there', async (t) => {
  const page = read('docs/threats.md')
  t.same(problems(page), [])
  t.ok((page.match(/`test\//g) ?? []).length > 30)
  t.same(problems('| A flood | A wall | `test/unit/nowhere.test.ts` "a" |'), ['test/unit/nowhere.test.ts is not there'])
  t.same(problems('| A flood | A wall | `test/unit/run.test.ts` "no such" |'), ['test/unit/run.test.ts: no "no such"'])
  t.same(problems('| A flood | A wall | hope |'), ['no test: A flood'], 'canary')
})

type Union = { options: { shape: Record<string, { value?: string; def?: { values: string[] } }> }[] }
const typesOf = (union: unknown) => (union as Union).options.map(({ shape }) => shape.type!.def!.values[0]!)

/** What the page of the protocol does not name. */
function unnamed(page: string): string[] {
  const routes = Object.values(paths)
  const types = [noticeSchema, wordSchema, replySchema, recordSchema].flatMap(typesOf)
  const fields = [descriptionSchema, knownSchema].flatMap(({ shape }) => Object.keys(shape))
  return [
    ...routes.filter((path) => !page.includes(` ${path}`)),
    ...[...types, ...fields].filter((name) => !new RegExp(`[\`"]${name}\\b`).test(page)),
    ...(page.includes(`${versionField}: ${protocolVersion}`) ? [] : [versionField]),
  ]
}

t.test('the protocol: every route, message and record', async (t) => {
  const page = read('docs/protocol.md')
  t.same(unnamed(page), [])
  t.same(unnamed(page.replaceAll('`abandon`', '').replaceAll('/v1/words', '')), ['/v1/words', 'abandon'], 'canary')
})
