// The legend of the vector abstraction (simd_scalar.h) names what the headers of the instruction sets define, no more and no less.
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const folder = new URL('../../native/backend/cpu/kernels/', import.meta.url)
const common = /^#include "backend\/cpu\/kernels\/(simd_\w+_common\.h)"$/gm
const headers = readdirSync(folder).filter((name) => /^simd_\w+\.h$/.test(name) && !name.endsWith('_common.h'))
/** A header with what it shares with another in its place. */
const read = (name: string): string =>
  readFileSync(new URL(name, folder), 'utf8').replace(common, (_, part: string) => read(part))

/** The names of the legend, by the number of the part they stand in: 0 of every header, 1 of those with pairs, 2 of one. */
function legend(text: string) {
  const table = text.slice(text.indexOf('// clang-format off'), text.indexOf('// clang-format on'))
  const names = new Map<string, number>()
  let part = 0
  for (const line of table.split('\n')) {
    if (/^\/\/\/ \S/.test(line)) part++
    const column = /^\/\/\/ {3}(\S(?:.*?\S)?)(?: {2,}|$)/.exec(line)?.[1]
    if (column === undefined || column.startsWith('…')) continue
    const words = column.replace(/[([<].*?[)\]>]/g, '').split(/[, ]+/)
    for (const word of words) if (/^(\w+|[-+*/])$/.test(word)) names.set(word, part)
  }
  return names
}

/** What a header defines outside its structs; a helper of Operand is the operand's. */
function defined(text: string) {
  const names = new Set<string>()
  for (const line of text.split('\n')) {
    const match =
      /^(?:inline|FEDLORA_INLINE|constexpr) [\w:<>& ]*?\b(?:operator([-+*/])|(\w+))(?=[ ]?[([=])/.exec(line) ??
      /^(?:struct|using)( )(\w+)/.exec(line)
    if (match !== null) names.add((match[1]?.trim() || match[2]) as string)
  }
  for (const [, other] of text.matchAll(/^constexpr int \w+ = \d+, (\w+) = \d+;/gm)) names.add(other as string)
  return names
}

/** What is wrong between a legend and headers. */
function problems(table: Map<string, number>, texts: Map<string, string>) {
  const all = [...texts].map(([name, text]) => ({
    name,
    names: defined(text),
    pairs: text.includes('using DotElement = bf16'),
  }))
  const found: string[] = []
  for (const { name, names, pairs } of all) {
    for (const word of names) if (!table.has(word)) found.push(`${name}: ${word} is not in the legend`)
    for (const [word, part] of table) {
      if ((part === 0 || (part === 1 && pairs)) && !names.has(word)) found.push(`${name}: ${word} is missing`)
      if (part === 1 && !pairs && names.has(word)) found.push(`${name}: ${word} is there without pairs`)
    }
  }
  for (const [word, part] of table) {
    if (part === 2 && !all.some(({ names }) => names.has(word))) found.push(`${word} is defined nowhere`)
  }
  return found
}

const texts = new Map(headers.map((name) => [name, read(name)]))
const table = legend(texts.get('simd_scalar.h') ?? '')

t.test('every name of the legend is in each header, every name of a header in the legend', async (t) => {
  t.ok(headers.length >= 3 && table.size > 50, `${headers.length} headers, ${table.size} names`)
  t.same(problems(table, texts), [])
})

t.test('canary: a name that is missing, and one that nobody explains', async (t) => {
  const damaged = (name: string, from: string, to: string) =>
    new Map(texts).set(name, (texts.get(name) ?? '').replaceAll(from, to))
  t.same(problems(table, damaged('simd_avx2.h', 'look_up', 'look_at')), [
    'simd_avx2.h: look_at is not in the legend',
    'simd_avx2.h: look_up is missing',
  ])
  t.match(problems(table, damaged('simd_avx512bf16.h', 'dot_pairs', 'dot_pair')), [
    /not in the legend/,
    /dot_pairs is missing/,
  ])
  t.same(problems(new Map([...table].filter(([word]) => word !== '/')), texts).length, headers.length)
  t.same(problems(new Map(table).set('nowhere', 2), texts), ['nowhere is defined nowhere'])
})
