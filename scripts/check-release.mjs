#!/usr/bin/env node
// What is to be published is what the tag says: package.json, CHANGELOG.md and the one tarball that lies here have its version.
//
// Usage: node scripts/check-release.mjs v1.2.3
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root, runMain, ScriptError } from './lib/project.mjs'

/** Everything that does not fit the tag. `files` are the names in the folder. */
export function releaseProblems(
  /** @type {string} */ tag,
  /** @type {string} */ version,
  /** @type {string} */ changelog,
  /** @type {string[]} */ files,
) {
  const problems = []
  if (tag !== `v${version}`) problems.push(`the tag is ${tag}, and package.json has ${version}`)
  if (!changelog.split('\n').some((line) => /^## /.test(line) && line.split(/[\s[\]]+/).includes(version)))
    problems.push(`CHANGELOG.md has no heading for ${version}`)
  const tarballs = files.filter((name) => /^fedlora-.*\.tgz$/.test(name))
  if (tarballs.join() !== `fedlora-${version}.tgz`)
    problems.push(`the tarballs here are ${tarballs.join(', ') || 'none'}, expected fedlora-${version}.tgz alone`)
  return problems
}

await runMain(import.meta, 'check-release', () => {
  const { positionals } = parseArgs({ allowPositionals: true })
  if (positionals.length !== 1) throw new ScriptError('E_ARGUMENT', 'one tag: node scripts/check-release.mjs v1.2.3')
  const [tag] = positionals
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const problems = releaseProblems(tag, version, readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), readdirSync(root))
  if (!existsSync(join(root, 'prebuilds', 'sbom.cdx.json'))) problems.push('prebuilds/sbom.cdx.json is missing')
  if (problems.length > 0) throw new ScriptError('E_RELEASE', problems.join('\n  '))
  console.log(`release: fedlora ${version}`)
})
