#!/usr/bin/env node
// Installs a packed tarball on this machine as a stranger would, and uses it with the prebuilt binary: what `doctor` says, two steps of
// training with the strongest kernels and with plain ones; with --demo the whole demo. Needs Node and npm alone: no compiler, no checkout's build.
//
// Usage: node scripts/try-tarball.mjs [FILE.tgz] [--demo]    (without a name: the one that lies in the checkout)
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { commandThere, installTarball, prebuiltThere, trainThere } from './lib/consumer.mjs'
import { root, runMain, ScriptError } from './lib/project.mjs'

await runMain(import.meta, 'try-tarball', () => {
  const { values, positionals } = parseArgs({ options: { demo: { type: 'boolean' } }, allowPositionals: true })
  const here = readdirSync(root).filter((name) => /^fedlora-.*\.tgz$/.test(name))
  const tarballs =
    positionals.length > 0 ? positionals.map((name) => resolve(name)) : here.map((name) => join(root, name))
  if (tarballs.length !== 1)
    throw new ScriptError(
      'E_ARGUMENT',
      `one tarball is tried, and these are ${tarballs.length}: ${tarballs.join(', ')}`,
    )
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-try-'))
  try {
    const consumer = join(folder, 'consumer')
    installTarball(consumer, tarballs[0])
    const { addonWhy, cpu, isa } = prebuiltThere(consumer)
    console.log(`try: Node ${process.version}, ${addonWhy}; ${cpu.trim()}, ${isa}`)
    for (const env of [{}, { FEDLORA_ISA: 'scalar' }]) {
      trainThere(consumer, env)
      console.log(`try: trained with ${prebuiltThere(consumer, env).isa} kernels`)
    }
    if (values.demo) commandThere(consumer, ['demo'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
