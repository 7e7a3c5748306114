/** Twelve thousand other regular expressions beside Python's `re`. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parity, runPython, scratch, seed } from '../support/parity.js'
import { differences, type PatternGolden } from '../support/python-regex.js'

t.setTimeout(3_600_000)

parity('patterns match, capture and are refused as in Python', async (t) => {
  const output = join(scratch, 'patterns.json')
  const words = ['--count', '12000', '--seed', String(1000 + Number(seed)), '--output', output]
  await runPython(join('..', '..', 'golden', 'regex', 'make_patterns.py'), ...words)
  const golden = JSON.parse(readFileSync(output, 'utf8')) as PatternGolden
  t.ok(golden.patterns.length > 11900)
  const endless: string[] = []
  t.same(differences(golden, endless), [])
  t.ok(endless.length <= 12, `${endless.length} patterns take too many turns`)
  golden.patterns = golden.patterns.map(([source, whole]) => [source, whole === '0' ? '1' : whole, 'error'])
  t.ok(differences(golden, []).length > 1000, 'canary')
  rmSync(output)
})
