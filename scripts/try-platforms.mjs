#!/usr/bin/env node
// The package on platforms that this machine is not: installed from a tarball with their binaries, and used by each platform's own Node in an
// emulator. `doctor` must name the platform's binary; it trains, stops and resumes, and runs a round of a federation, with losses as this
// machine's own addon has them.
//
// Usage: node scripts/try-platforms.mjs [--only TEXT] [--minutes 20] [--demo]
//   --only   targets whose name contains TEXT: linux-x64-musl, win32-x64, linux-arm64-glibc, linux-arm64-musl
//   --demo   the whole demo, too, where the processor is this machine's
// Binaries are those in prebuilds/. Nodes, musl, qemu and wine are got by package name (scripts/lib/foreign-node.mjs).
import { spawnSync } from 'node:child_process'
import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { installTarball, packTarball } from './lib/consumer.mjs'
import { endAfter } from './lib/emulators.mjs'
import { foreignNode, foreignNodes } from './lib/foreign-node.mjs'
import { lastJson, root, runMain, ScriptError } from './lib/project.mjs'
import { prebuiltFile, targets } from './lib/targets.mjs'

/** Losses are sums of products of bf16 numbers; another order of adding and another `exp` move them by less than one such number's half unit. */
const tolerance = 2 ** -8

const workload = 'workload.mjs'
const folders = ['whole', 'stopped', 'federation']

/**
 * What two workloads differ in. `ours` is of this machine's own addon.
 * @typedef {{ losses: number[], resumes: boolean, heldOut: number, bytesUp: number }} Outcome
 */
export function differences(/** @type {Outcome} */ theirs, /** @type {Outcome} */ ours) {
  const problems = []
  const compare = (/** @type {string} */ what, /** @type {number} */ one, /** @type {number} */ other) => {
    if (!(Math.abs(one - other) <= tolerance * other)) problems.push(`${what} is ${one}, and ${other} on this machine`)
  }
  if (theirs.resumes !== true) problems.push('a run that was stopped and resumed ends in other bytes than the whole')
  if (theirs.losses.length !== ours.losses.length) problems.push(`${theirs.losses.length} steps were trained`)
  for (const [i, loss] of ours.losses.entries()) compare(`the loss of step ${i + 1}`, theirs.losses[i], loss)
  compare('the loss after a round', theirs.heldOut, ours.heldOut)
  if (theirs.bytesUp !== ours.bytesUp)
    problems.push(`the clients sent ${theirs.bytesUp} bytes, and ${ours.bytesUp} on this machine`)
  return problems
}

/** Runs a Node in the consumer's folder; its output goes through files: into a pipe Windows' Node does not write in wine. */
function runNode({ command, env }, words, folder, timeout) {
  const names = ['stdout.txt', 'stderr.txt'].map((name) => join(folder, name))
  const [out, err] = names.map((name) => openSync(name, 'w'))
  const [program, ...rest] = [...command, ...words]
  const begin = performance.now()
  const result = spawnSync(program, rest, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', out, err],
    timeout: Math.max(1, Math.round(timeout)),
  })
  closeSync(out)
  closeSync(err)
  const [said, told] = names.map((name) => readFileSync(name, 'utf8'))
  const seconds = ((performance.now() - begin) / 1000).toFixed(0)
  if (result.error || result.status !== 0) {
    const why = result.error?.message ?? result.signal ?? `status ${result.status}`
    throw new ScriptError('E_PLATFORM', `\`${words.join(' ')}\` ended with ${why} after ${seconds} s\n${said}${told}`)
  }
  return { said, seconds }
}

const main = join('node_modules', 'fedlora', 'dist', 'cli', 'main.js')

/** @param {import('./lib/targets.mjs').Target} target */
function tryTarget(target, consumer, ours, end, demo) {
  const node = foreignNode(target.name)
  const there = (...words) => runNode(node, words, consumer, end - performance.now())
  const told = (text) => console.log(`platforms: ${target.name}: ${text}`)
  const doctor = lastJson(there(main, 'doctor', '--json').said)
  const wanted = `prebuilt for ${target.platform}-${target.arch}`
  const chosen = `${doctor.addon} ${doctor.addonWhy}`
  if (
    doctor.addonFrom !== 'prebuilds' ||
    !chosen.includes(wanted) ||
    !chosen.includes(`fedlora.${target.libc ?? 'node'}`)
  )
    throw new ScriptError('E_PLATFORM', `doctor names another addon: ${chosen}`)
  told(`Node ${doctor.node}, ${doctor.addonWhy}; ${doctor.isa}`)
  for (const folder of folders) rmSync(join(consumer, folder), { recursive: true, force: true })
  const { said, seconds } = there(workload)
  const theirs = lastJson(said)
  const problems = differences(theirs, ours)
  if (problems.length > 0) throw new ScriptError('E_PLATFORM', problems.join('\n  '))
  const losses = [...theirs.losses, theirs.heldOut].map((loss) => loss.toFixed(4)).join(', ')
  told(`trained, resumed in the same bytes, a round of a federation: losses ${losses}; ${seconds} s`)
  if (!demo || target.arch !== process.arch) return
  const whole = there(main, 'demo')
  told(`the whole demo, ${whole.seconds} s\n${whole.said.trim().split('\n').slice(-12).join('\n')}`)
}

/**
 * Tries all targets that `only` is part of, until `end`; how many failed.
 * @param {{ only?: string, end: number, demo?: boolean }} options
 */
export function tryPlatforms({ only = '', end, demo = false }) {
  const known = targets.filter(({ name }) => name in foreignNodes)
  const chosen = known.filter(({ name }) => name.includes(only))
  if (chosen.length === 0) {
    const names = known.map(({ name }) => name).join(', ')
    throw new ScriptError('E_ARGUMENT', `--only ${only}: no target of ${names} has that in its name`)
  }
  const lacking = chosen.filter((target) => !existsSync(join(root, prebuiltFile(target))))
  for (const target of lacking)
    console.error(
      `platforms: ${target.name} FAILED: ${prebuiltFile(target)} is not there: node scripts/prebuild.mjs --target ${target.name}`,
    )
  let failed = lacking.length
  if (failed === chosen.length) return failed
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-platforms-'))
  try {
    const consumer = join(folder, 'consumer')
    installTarball(consumer, packTarball(folder))
    copyFileSync(join(root, 'scripts', 'lib', 'foreign-workload.mjs'), join(consumer, workload))
    const own = { command: [process.execPath], env: { FEDLORA_PREBUILD: root } }
    const ours = lastJson(runNode(own, [workload], consumer, end - performance.now()).said)
    for (const target of chosen.filter((target) => !lacking.includes(target))) {
      try {
        tryTarget(target, consumer, ours, end, demo)
      } catch (error) {
        if (!(error instanceof ScriptError)) throw error
        failed += 1
        console.error(`platforms: ${target.name} FAILED: ${error.message}`)
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  console.log(`platforms: the package: ${chosen.length - failed} of ${chosen.length} targets passed`)
  return failed
}

await runMain(import.meta, 'try-platforms', () => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      minutes: { type: 'string', default: '20' },
      demo: { type: 'boolean', default: false },
    },
  })
  const { only, minutes, demo } = values
  const failed = tryPlatforms({ only, end: endAfter(minutes), demo })
  if (failed > 0) throw new ScriptError('E_PLATFORM', `${failed} targets failed`)
})
