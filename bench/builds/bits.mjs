#!/usr/bin/env node
// Whether two builds of this package compute the same bits, on every instruction set of this machine:
//
//   node bench/builds/bits.mjs BEFORE AFTER [--steps 50] [--isa avx2,scalar]
//
// BEFORE and AFTER are folders of built clones. Each trains, evaluates, generates and federates with the demo's model in four base formats
// (`digests.mjs`, a process of its own); the digests of every loss, adapter, text and vector of a checkpoint are compared. Status 1: they differ.
import { execFileSync } from 'node:child_process'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: '50' }, isa: { type: 'string', default: 'avx512bf16,avx2,scalar' } },
})
const [before, after] = positionals
if (before === undefined || after === undefined) {
  console.error('bits: expected the folders of two built clones: node bench/builds/bits.mjs BEFORE AFTER')
  process.exit(2)
}

const child = join(dirname(fileURLToPath(import.meta.url)), 'digests.mjs')

/** @param {string} build @param {string} isa @returns {Record<string, string>} what was computed → its digest */
function digests(build, isa) {
  const words = [child, resolve(build), '--steps', values.steps]
  const env = { ...process.env, FEDLORA_ISA: isa }
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8', env, maxBuffer: 1 << 26 }))
}

for (const isa of values.isa.split(',')) {
  const [a, b] = [digests(before, isa), digests(after, isa)]
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])]
  const differing = names.filter((name) => a[name] !== b[name])
  console.log(`${isa}: ${names.length} digests, ${differing.length} differ`)
  for (const name of differing) console.log(`  ${name}: ${a[name] ?? 'missing'} before, ${b[name] ?? 'missing'} after`)
  if (names.length === 0 || differing.length > 0) process.exitCode = 1
}
