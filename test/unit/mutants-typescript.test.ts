// The mutation tool on a tiny project: it must tell a branch that a test guards from one that none does. A tool that called everything
// killed, or nothing, would be found here.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { chooseMutants, nameMutants } from '../../scripts/lib/mutants.mjs'
import { findMutations } from '../../scripts/lib/ts-mutations.mjs'

const source = `import { boundary } from './boundary.js'
/** The sum of the numbers below a bound. */
export function sumBelow(values: readonly number[], bound: number): number {
  let sum = 0
  for (const value of values) if (boundary(value, bound)) sum += value
  return sum
}
export function untested(value: number): string {
  return value < 3 ? 'small' : \`large: \${value + 1}\`
}
export async function effects(log: string[], work: () => Promise<void>): Promise<void> {
  await work()
  log.push('done')
}
export function countdown(from: number): number {
  let steps = 0
  while (from-- > 0) ++steps
  return steps
}
export function least(a: number | undefined, b: number): number {
  if (a === b) return b
  return Math.min(a ?? 0, b)
}
export const labelled = (sum: number) => ({ sum, ...(sum > 2 ? { large: true } : {}) })
`
const boundary = 'export const boundary = (value: number, bound: number) => value < bound\n'
const test = `import assert from 'node:assert'
import { countdown, effects, labelled, least, sumBelow } from '../src/run/sums.js'
assert.equal(sumBelow([1, 2, 3, 4], 3), 3)
const log: string[] = []
await effects(log, async () => void (await new Promise((resolve) => setImmediate(resolve)), log.push('work')))
assert.deepEqual(log, ['work', 'done'])
assert.equal(countdown(3), 3)
assert.deepEqual([least(3, 2), least(undefined, 2), least(2, 2)], [2, 0, 2])
assert.deepEqual([labelled(2), labelled(3)], [{ sum: 2 }, { sum: 3, large: true }])
`
const loose = "import { sumBelow } from '../src/run/sums.js'\nsumBelow([5], 1)\n"

const root = t.testdir({
  'package.json': '{ "type": "module" }',
  src: { run: { 'sums.ts': source, 'boundary.ts': boundary } },
  test: { 'sums.test.ts': test, 'loose.test.ts': loose },
})
const ours = () =>
  (readdirSync(root, { recursive: true }) as string[]).filter((name) => !name.startsWith('build')).sort()

function mutate(...words: string[]) {
  const report = join(root, 'build', 'report.jsonl')
  const script = resolve('scripts/mutate.mjs')
  const args = [script, '--root', root, '--report', report, '--patience', '1', ...words]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  const lines = readFileSync(report, 'utf8').split('\n').filter(Boolean)
  return { status, text: stdout + stderr, results: lines.map((line) => JSON.parse(line)) }
}

const before = ours()
const all = mutate('--max-alive', '100')
const outcome = (change: string, file = 'src/run/sums.ts') =>
  all.results
    .filter((result) => result.file === file && `${result.before} → ${result.after}` === change)
    .map((result) => result.outcome)

t.test('what a test guards is killed, with its name', async (t) => {
  t.equal(all.status, 0, all.text)
  t.same(outcome('value < bound → value <= bound', 'src/run/boundary.ts'), ['killed'], 'a bound')
  t.same(outcome('sum += value → sum -= value'), ['killed'], 'an operator')
  t.same(outcome('sum += value → '), ['killed'], 'a statement')
  t.same(outcome("log.push('done') → "), ['killed'], 'an effect')
  t.same(outcome('await work() → work()'), ['killed'], 'an await')
  t.same(outcome('Math.min(a ?? 0, b) → Math.max(a ?? 0, b)'), ['killed'])
  t.same(outcome('a ?? 0 → a'), ['killed'])
  t.same(outcome("'done' → ''"), ['killed'], 'a text')
  t.same(outcome('sum → 0'), ['killed'], 'a returned value')
  t.same(outcome('{ sum, ...(sum > 2 ? { large: true } : {}) } → {sum }'), ['killed'], 'an object without a part of it')
  t.match(all.results.find((result) => result.after === 'sum -= value').by, /^test\/sums\.test\.ts: /)
})

t.test('an endless loop is killed', async (t) => {
  t.same(outcome('from-- → from++'), ['killed'])
  t.match(all.results.find(({ after }) => after === 'from++').by, /no end within/)
})

t.test('canary: what no test looks at lives', async (t) => {
  t.same(outcome('value < 3 → value <= 3'), ['alive'])
  t.match(all.results.find(({ before }) => before === 'value < 3').by, 'no test reaches it')
  t.same(outcome('value < 3 → !(value < 3)'), ['alive'])
  t.same(outcome('a === b → a !== b'), ['killed'])
  const only = mutate('--tests', 'test/loose', '--file', 'src/run/boundary.ts')
  t.same([only.status, only.results.map((result) => result.outcome)], [1, ['alive']], 'a test without an assertion')
  t.match(only.text, /E_MUTANTS: 100\.0 % alive, at most 8 %/)
})

t.test(
  'a run goes on from a report: what was killed stays so, the others are tried; beyond a limit no file is asked',
  async (t) => {
    const place = ['--file', 'src/run/sums.ts', '--max-alive', '100']
    const outcomes = ({ results }: ReturnType<typeof mutate>) =>
      new Map(results.map(({ id, outcome }: { id: string; outcome: string }) => [id, outcome] as const))
    const first = outcomes(mutate(...place, '--count', '6'))
    const loose = outcomes(mutate(...place, '--count', '12', '--tests', 'test/loose', '--resume'))
    t.equal(loose.size, 12)
    for (const [id, outcome] of loose) t.equal(outcome, first.get(id) ?? 'alive', id)
    const killed = [...first.values()].filter((outcome) => outcome === 'killed').length
    t.ok(killed > 0 && killed < 12)
    const whole = outcomes(mutate(...place, '--count', '12', '--resume'))
    const afresh = mutate(...place, '--count', '12')
    t.same(whole, outcomes(afresh))
    const none = mutate(...place, '--count', '12', '--limit', '0')
    t.same(new Set(outcomes(none).values()), new Set(['alive']))
    const reached = none.results.filter(({ by }) => by !== 'no test reaches it')
    t.ok(reached.length > 0)
    for (const { by } of reached) t.match(by, /^[12] test files were not asked$/)
  },
)

t.test('a listed equivalent does not count; a list that names nothing is told', async (t) => {
  const { file, text, before, after } = all.results.find((result) => result.file === 'src/run/boundary.ts')
  const entry = { file, text, before, after, reason: 'a reason' }
  writeFileSync(join(root, 'test', 'mutants-equivalent.json'), JSON.stringify([entry, { ...entry, text: 'gone' }]))
  const again = mutate('--file', 'src/run/boundary.ts', '--tests', 'test/loose')
  t.same([again.status, again.results[0].outcome, again.results[0].by], [0, 'equivalent', 'a reason'])
  t.match(again.text, /no such mutant any more: src\/run\/boundary\.ts/)
})

t.test('the choice is even and the same for a seed; the project is as it was', async (t) => {
  const files = ['a', 'a', 'a', 'a', 'b', 'c', 'c', 'c']
  const mutants = files.map((file, id) => ({ file, id: String(id) }))
  const chosen = (count: string, seed: string) =>
    chooseMutants(mutants, { count, seed, evenly: true }).map(({ file, id }: { file: string; id: string }) => file + id)
  t.same(chosen('5', '1'), chosen('5', '1'))
  t.notSame(chosen('5', '1'), chosen('5', '2'))
  t.same(
    chosen('5', '1')
      .map(([file]: string) => file)
      .sort(),
    ['a', 'a', 'b', 'c', 'c'],
  )
  t.equal(new Set(chosen('99', '1')).size, 8, 'no more than there are, none twice')
  t.same(ours(), [...before, 'test/mutants-equivalent.json'].sort())
})

/** The changes of a source as "before → after". */
const changes = (code: string) =>
  nameMutants(code, findMutations('x.ts', code)).map(({ before, after }) => `${before} → ${after}`)

t.test('what is changed', async (t) => {
  const cases: [code: string, expected: string[]][] = [
    ['f(a + b)', ['f(a + b) → ', 'a + b → a - b']],
    ['const c = a < n && !b', ['a < n && !b → a < n || !b', 'a < n → a <= n', '!b → b']],
    ['const c = 7', ['7 → 8', '7 → 6']],
    ["if (kind === 'x') a = 1", ["kind === 'x' → kind !== 'x'", "'x' → ''", 'a = 1 → ', '1 → 2', '1 → 0']],
    ['const c = [...a, b]', ['[...a, b] → []', '[...a, b] → [b]']],
    ['const c = { ...a, b }', ['{ ...a, b } → {b }']],
    ['const c = a.slice(i, j)', ['a.slice(i, j) → a', 'a.slice(i, j) → a.slice(i)']],
    ['const c = a ?? b', ['a ?? b → a']],
    ['function f(): number { return a }', ['a → 0']],
    ['await f()', ['await f() → ', 'await f() → f()']],
    ['while (a) b()', ['a → !(a)', 'b() → ']],
    ['const c = Math.min(a, b)', ['Math.min(a, b) → Math.max(a, b)']],
  ]
  for (const [code, expected] of cases) t.same(changes(code), expected, code)
})

t.test('what is left alone', async (t) => {
  const template = '`$' + '{a + 1} apples`'
  const codes = [
    "type A = 'x' | 1",
    "import a from 'x'",
    `const c = ${template}`,
    "const c = 'words for people'",
    'throw new FedloraError("E", a + 1)',
    'const message = "a" + b',
    'const c = a?.toString().b',
    'const c = a as "x"',
    'interface A { a: 1 }',
    "const { 'a-b': c } = d",
  ]
  for (const code of codes) t.same(changes(code), [], code)
  t.same(changes("z.int().min(1).describe('x')"), ["z.int().min(1).describe('x') → ", '1 → 2', '1 → 0'])
})
