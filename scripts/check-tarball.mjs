#!/usr/bin/env node
// Looks into a packed tarball before it is published: every platform's binary is there and keeps to what it must, the bill of materials names
// its bytes, licences are there, no install script, no path of this machine, and not too large.
//
// Usage: node scripts/check-tarball.mjs FILE.tgz    (the TypeScript must be built)
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { inspectPackage, maximumBytes } from './check-pack.mjs'
import { judgeBinary } from './lib/judge-binary.mjs'
import { listFiles, root, run, runMain, ScriptError } from './lib/project.mjs'
import { prebuiltFile, targets } from './lib/targets.mjs'

/** Everything that is wrong with the binaries of an unpacked package. */
export function inspectBinaries(/** @type {string} */ folder) {
  const problems = []
  const billFile = join(folder, 'prebuilds', 'sbom.cdx.json')
  const bill = existsSync(billFile) ? JSON.parse(readFileSync(billFile, 'utf8')) : undefined
  if (bill === undefined) problems.push('prebuilds/sbom.cdx.json is missing')
  const licences = join(folder, 'prebuilds', 'LICENSES.txt')
  const texts = existsSync(licences) ? readFileSync(licences, 'utf8') : ''
  for (const target of targets) {
    const name = prebuiltFile(target)
    if (!existsSync(join(folder, name))) {
      problems.push(`${name} is missing`)
      continue
    }
    const bytes = readFileSync(join(folder, name))
    problems.push(...judgeBinary(target, bytes).map((problem) => `${name}: ${problem}`))
    const said = bill?.components.find((one) => one.name === name)?.hashes[0].content
    const hash = createHash('sha256').update(bytes).digest('hex')
    if (said !== hash) problems.push(`${name} has the SHA-256 ${hash}, and the bill of materials says ${said}`)
  }
  const others = listFiles('prebuilds', /\.node$/, folder).filter((name) => !targets.map(prebuiltFile).includes(name))
  problems.push(...others.map((name) => `${name} is of no platform that we publish`))
  for (const { name, description } of bill?.components ?? []) {
    if (description?.startsWith('linked in') && !texts.includes(`\n${name} `))
      problems.push(`prebuilds/LICENSES.txt lacks the licence of ${name}`)
  }
  return problems
}

export function checkTarball(/** @type {string} */ tarball) {
  if (!existsSync(tarball)) throw new ScriptError('E_MISSING', `${tarball} is not there; make it with \`npm pack\``)
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-tarball-'))
  try {
    run('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1'])
    const { size } = statSync(tarball)
    const problems = [...inspectPackage(folder, [`${root}/`, `${homedir()}/`]), ...inspectBinaries(folder)]
    if (size > maximumBytes) problems.push(`it has ${size} bytes, at most ${maximumBytes}`)
    if (problems.length > 0) throw new ScriptError('E_PACK', `${tarball} is wrong:\n  ${problems.join('\n  ')}`)
    console.log(`tarball: ${(size / 1e6).toFixed(2)} MB, binaries for ${targets.map(({ name }) => name).join(', ')}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

await runMain(import.meta, 'check-tarball', () => {
  const { positionals } = parseArgs({ allowPositionals: true })
  if (positionals.length !== 1)
    throw new ScriptError('E_ARGUMENT', 'one tarball: node scripts/check-tarball.mjs FILE.tgz')
  checkTarball(resolve(positionals[0]))
})
