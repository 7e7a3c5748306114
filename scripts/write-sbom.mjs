#!/usr/bin/env node
// The bill of materials of the package and of its binaries, beside these:
//   prebuilds/sbom.cdx.json      CycloneDX 1.5: npm's own list without development, what is linked in, SHA-256 of each binary
//   prebuilds/LICENSES.txt       the licences of what is linked in
//
// Usage: node scripts/write-sbom.mjs    (after `npm run prebuild -- --all`, which calls it)
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { linkedIn } from './lib/linked.mjs'
import { root, run, runMain, ScriptError } from './lib/project.mjs'
import { prebuiltFile, targets } from './lib/targets.mjs'

const licences = (/** @type {string} */ licence) =>
  /\s/.test(licence) ? [{ expression: licence }] : [{ license: { id: licence } }]

/**
 * npm's bill with ours.
 * @param {any} bill of `npm sbom`
 * @param {import('./lib/linked.mjs').Linked[]} linked
 * @param {{ target: import('./lib/targets.mjs').Target, bytes: Buffer }[]} binaries
 */
export function completeBill(bill, linked, binaries) {
  const { serialNumber: _random, metadata, ...rest } = bill
  const { timestamp: _now, ...about } = metadata
  // What npm lists already is named by npm's own reference.
  const known = new Map(rest.components.map((/** @type {any} */ one) => [one.purl, one['bom-ref']]))
  const ours = linked.filter(({ purl }) => !known.has(purl))
  const components = ours.map(({ name, version, purl, licence, what }) => ({
    'bom-ref': purl,
    type: 'library',
    name,
    version,
    purl,
    description: `linked in: ${what}`,
    licenses: licences(licence),
  }))
  const files = binaries.map(({ target, bytes }) => ({
    'bom-ref': prebuiltFile(target),
    type: 'file',
    name: prebuiltFile(target),
    licenses: licences('Apache-2.0'),
    hashes: [{ alg: 'SHA-256', content: createHash('sha256').update(bytes).digest('hex') }],
  }))
  const uses = binaries.map(({ target }) => ({
    ref: prebuiltFile(target),
    dependsOn: linked.filter(({ isIn }) => isIn(target)).map(({ purl }) => known.get(purl) ?? purl),
  }))
  const root = about.component['bom-ref']
  const dependencies = rest.dependencies.map((/** @type {any} */ one) =>
    one.ref === root ? { ...one, dependsOn: [...one.dependsOn, ...uses.map(({ ref }) => ref)] } : one,
  )
  return {
    ...rest,
    metadata: { ...about, component: { ...about.component, name: 'fedlora' } }, // npm says the folder's name
    components: [...rest.components, ...components, ...files],
    dependencies: [...dependencies, ...uses, ...components.map((one) => ({ ref: one['bom-ref'], dependsOn: [] }))],
  }
}

export function licenceTexts(/** @type {import('./lib/linked.mjs').Linked[]} */ linked) {
  const part = ({ name, version, licence, what, text }) =>
    `${'='.repeat(100)}\n${name} ${version} (${licence}): ${what}\n${'='.repeat(100)}\n\n${text.trim()}\n`
  return `The binaries in this folder contain, beside fedlora (Apache-2.0):\n\n${linked.map(part).join('\n')}`
}

export function writeSbom() {
  const bill = JSON.parse(run('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev'], { capture: true }))
  const binaries = targets
    .map((target) => ({ target, file: join(root, prebuiltFile(target)) }))
    .filter(({ file }) => existsSync(file))
    .map(({ target, file }) => ({ target, bytes: readFileSync(file) }))
  if (binaries.length === 0)
    throw new ScriptError('E_SBOM', 'prebuilds/ holds no binary; run `npm run prebuild -- --all` first')
  const linked = linkedIn().filter(({ isIn }) => binaries.some(({ target }) => isIn(target)))
  const complete = completeBill(bill, linked, binaries)
  writeFileSync(join(root, 'prebuilds', 'sbom.cdx.json'), `${JSON.stringify(complete, undefined, 2)}\n`)
  writeFileSync(join(root, 'prebuilds', 'LICENSES.txt'), licenceTexts(linked))
  console.log(`sbom: ${complete.components.length} components, ${binaries.length} of them binaries`)
}

await runMain(import.meta, 'write-sbom', writeSbom)
