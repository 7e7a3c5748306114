#!/usr/bin/env node
// Two builds of this package beside one another on the same machine, in turn, each run a process of its own:
//
//   node bench/builds/speed.mjs BEFORE AFTER [--pairs 3] [--json FILE] [-- bench step --shape smollm2-135m]
//
// BEFORE and AFTER are folders of built clones (`git worktree add`, then `npm run build`). What follows `--` is a command line of fedlora
// that answers `--json` with a result; its figure is `tokensPerSecond`, else `seconds`. Which build goes first changes from pair to pair, since a
// shared machine drifts; medians over the pairs are compared.
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pairs: { type: 'string', default: '3' }, json: { type: 'string' } },
})
const [before, after, ...rest] = positionals
if (before === undefined || after === undefined) {
  console.error('speed: expected the folders of two built clones: node bench/builds/speed.mjs BEFORE AFTER')
  process.exit(2)
}
const words = rest.length > 0 ? rest : ['bench', 'step', '--shape', 'smollm2-135m']

/** @param {string} build its folder @returns {number} tokens a second, or runs a second */
function rate(build) {
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-builds-'))
  try {
    const program = join(resolve(build), 'dist', 'cli', 'main.js')
    const output = execFileSync(process.execPath, [program, ...words, '--json'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1 << 26,
    })
    const { tokensPerSecond, seconds } = JSON.parse(output.trim().split('\n').at(-1) ?? '')
    return tokensPerSecond?.median ?? tokensPerSecond ?? 1 / seconds
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {number[]} numbers */
const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const half = sorted.length / 2
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2
}

/** @type {{ before: number, after: number }[]} */
const pairs = []
for (let pair = 0; pair < Number(values.pairs); pair++) {
  const first = pair % 2 === 0 ? rate(before) : undefined
  const second = rate(after)
  pairs.push({ before: first ?? rate(before), after: second })
  const { before: a, after: b } = pairs[pair]
  console.log(`  before ${a.toPrecision(5)}  after ${b.toPrecision(5)}  ratio ${(b / a).toFixed(3)}`)
}
const ratio = median(pairs.map((pair) => pair.after)) / median(pairs.map((pair) => pair.before))
console.log(`${words.join(' ')}: ${ratio.toFixed(3)} × the build before (medians of ${values.pairs} pairs)`)
if (values.json !== undefined) {
  const line = { date: new Date().toISOString().slice(0, 10), cpu: cpus()[0]?.model, command: words, pairs, ratio }
  appendFileSync(values.json, `${JSON.stringify(line)}\n`)
}
