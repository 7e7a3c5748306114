/** Every construct of the template language beside transformers' own output (test/golden/templates, made by make.py there). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseExactly } from '../../src/files/exact-json.js'
import { type Case, judge, readCases, type Wanted } from '../support/templates.js'

const folder = join('test', 'golden', 'templates')
const read = (name: string) => readFileSync(join(folder, name), 'utf8')
const snippets = JSON.parse(read('snippets.json')) as [string, string | null][]
const templates = JSON.parse(read('templates.json')) as Record<string, Wanted>
const cases = readCases(read('conversations.jsonl'))
const plain: Case = {
  messages: [{ role: 'user', content: 'hi' } as { role: string }],
  add_generation_prompt: false,
  kwargs: parseExactly(read('variables.json')) as Record<string, unknown>,
}

t.test('expressions and statements, one by one', async (t) => {
  let refused = 0
  for (const [source, text] of snippets) {
    const verdict = judge(source, source, [plain], { texts: [text] })
    refused += verdict.refused
    t.strictSame(verdict.wrong, [], source)
  }
  t.ok(snippets.length > 340 && refused > 150, `${snippets.length} snippets, ${refused} refused by both`)
})

t.test('whole templates on conversations', async (t) => {
  for (const [name, wanted] of Object.entries(templates)) {
    const verdict = judge(name, read(name), cases, wanted)
    t.strictSame(verdict.wrong, [], `${name}: ${verdict.compared} texts`)
  }
})

t.test('canary: a text, a refusal or a span that is wrong is found', async (t) => {
  const source = read('generation.jinja')
  const { texts, spans } = templates['generation.jinja']!
  const spoiled = (change: (wanted: Wanted) => void) => {
    const wanted = structuredClone({ texts, spans: spans! })
    change(wanted)
    return judge('canary', source, cases, wanted).wrong.length
  }
  t.equal(
    spoiled(() => {}),
    0,
  )
  t.equal(
    spoiled((wanted) => {
      wanted.texts[0] += ' '
    }),
    1,
  )
  t.equal(
    spoiled((wanted) => {
      wanted.texts[0] = null
    }),
    1,
  )
  const withSpan = spans!.findIndex((list) => list.length > 0)
  t.equal(
    spoiled((wanted) => {
      wanted.spans![withSpan]![0]![0] += 1
    }),
    1,
  )
  t.equal(judge('canary', '{{ nope() }}', [plain], { texts: ['x'] }).wrong.length, 1)
})
