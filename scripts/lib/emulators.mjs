// Programs of another processor on this machine: which emulator runs them, as which processors, and what it takes.
import { existsSync } from 'node:fs'
import { probe, run, ScriptError } from './project.mjs'

/**
 * Processors that qemu-user plays, weakest first, and the strongest level that each must be found to have (native/base/isa_levels.def). Emulation says
 * whether code is right. It says nothing of speed, and little of the order in which other threads see writes: on x86 hosts it is stronger.
 */
export const emulators = {
  'linux-arm64-glibc': {
    program: 'qemu-aarch64-static',
    arguments: ['-L', '/usr/aarch64-linux-gnu'],
    needs: { 'qemu-aarch64-static': 'qemu-user-static', '/usr/aarch64-linux-gnu/lib/libc.so.6': 'libc6-arm64-cross' },
    processors: [
      { name: 'cortex-a72', level: 'neon' },
      { name: 'max', level: 'neonbf16' },
    ],
  },
}

/** When a try of so many minutes ends, as performance.now() counts; refuses machines that no emulator is known for. */
export function endAfter(/** @type {string} */ minutes) {
  if (!(Number(minutes) > 0)) throw new ScriptError('E_ARGUMENT', `--minutes ${minutes}: expected a number above 0`)
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new ScriptError('E_TOOL', `emulated from Linux on x64, and this is ${process.platform} on ${process.arch}`)
  return performance.now() + Number(minutes) * 60000
}

/** Debian packages that are not here. `needs`: what must be here (a program, or the path of a file) and the packages that bring it. */
function missing(/** @type {Record<string, string>} */ needs) {
  const here = (what) => (what.startsWith('/') ? existsSync(what) : probe(what, ['--version']) !== undefined)
  return Object.entries(needs)
    .filter(([what]) => !here(what))
    .flatMap(([, names]) => names.split(' '))
}

/** Gets what is missing: by apt-get as root; else it says what to get. */
export function needPrograms(/** @type {Record<string, string>} */ needs) {
  const packages = missing(needs)
  if (packages.length === 0) return
  const command = ['apt-get', 'install', '-y', ...packages]
  if (process.getuid?.() !== 0 || probe('apt-get', ['--version']) === undefined)
    throw new ScriptError('E_TOOL', `${packages.join(', ')}: not there. Get it with: sudo ${command.join(' ')}`)
  console.error(`platforms: ${command.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], { env, quiet: true })
  run(command[0], command.slice(1), { env, quiet: true })
  const still = missing(needs)
  if (still.length > 0)
    throw new ScriptError('E_TOOL', `${still.join(', ')}: installed, but what it brings is not there`)
}
