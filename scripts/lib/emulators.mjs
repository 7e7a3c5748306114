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

/** Debian packages that are not here. */
function missing({ needs }) {
  const here = (what) => (what.startsWith('/') ? existsSync(what) : probe(what, ['--version']) !== undefined)
  return Object.entries(needs)
    .filter(([what]) => !here(what))
    .map(([, name]) => name)
}

/** Gets what an emulator takes: by apt-get as root; else it says what is missing. */
export function installEmulator(emulator) {
  const packages = missing(emulator)
  if (packages.length === 0) return
  const command = ['apt-get', 'install', '-y', ...packages]
  if (process.getuid?.() !== 0 || probe('apt-get', ['--version']) === undefined)
    throw new ScriptError('E_TOOL', `${packages.join(', ')}: not there. Get it with: sudo ${command.join(' ')}`)
  console.error(`platforms: ${command.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], { env, quiet: true })
  run(command[0], command.slice(1), { env, quiet: true })
  const still = missing(emulator)
  if (still.length > 0)
    throw new ScriptError('E_TOOL', `${still.join(', ')}: installed, but what it brings is not there`)
}
