/** Opens the addon on first use; nothing happens on import. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FedloraError } from '../errors.js'
import { olderThan, readBinary } from './binary.js'
import type { Native } from './binding.js'
import { buildCommand, type Choice, chooseAddon, describeMachine, type Machine, thisMachine } from './choice.js'
import { guard } from './guard.js'

/**
 * The folder of the package to which the module at `url` belongs.
 * @param url - `import.meta.url`; bundlers that write CommonJS leave it undefined.
 * @throws FedloraError `E_LOAD` when a bundler has taken the module out of its package, which holds the addon and the assets.
 */
export function packageRootOf(url: string | undefined): string {
  const root = url === undefined ? undefined : fileURLToPath(new URL('../../', url))
  if (root !== undefined) {
    try {
      if ((JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: unknown }).name === 'fedlora')
        return root
    } catch {}
  }
  throw new FedloraError(
    'E_LOAD',
    `fedlora was moved out of its own package by a bundler${root === undefined ? '' : ` (there is none in '${root}')`}; its native addon cannot be ` +
      'bundled. Keep it a dependency that is loaded at run time: esbuild --external:fedlora, `externals` in webpack, `external` in Rollup, ' +
      '`ssr.external` in Vite, `serverExternalPackages` in Next.js',
    { url: url ?? null },
  )
}

/**
 * The folder of this package.
 * @throws FedloraError `E_LOAD` as `packageRootOf`.
 */
export function packageRoot(): string {
  return packageRootOf(import.meta.url)
}

let loaded: Native | undefined

/** What does not fit, or undefined where nothing is known to be wrong. Asked before opening: code for another C library may crash the process. */
function misfit(path: string, machine: Machine): { reason: string; why: string } | undefined {
  const binary = readBinary(path)
  if (binary === undefined) {
    const bytes = readFileSync(path)
    const begin = bytes.toString('latin1', 0, 16).replace(/[^ -~]/g, '.')
    return {
      reason: 'damaged',
      why: `it is no shared library, or cut off: ${bytes.length} bytes that begin with '${begin}'`,
    }
  }
  const { format, platform, archs, libc, glibcFloor } = binary
  const system = ['darwin', 'win32'].includes(machine.platform) ? machine.platform : 'linux' // the others have ELF, too
  if (platform !== system || !archs.includes(machine.arch)) {
    return {
      reason: 'architecture',
      why: `it is ${format === 'ELF' ? 'an' : 'a'} ${format} binary for ${platform}-${archs.join('+')}`,
    }
  }
  if (libc !== null && machine.libc !== null && libc !== machine.libc)
    return { reason: 'libc', why: `it is linked with ${libc}` }
  if (glibcFloor !== null && machine.glibcVersion !== null && olderThan(machine.glibcVersion, glibcFloor)) {
    return { reason: 'glibc', why: `it needs glibc ${glibcFloor} or newer, and ${machine.glibcVersion} runs here` }
  }
  return undefined
}

function cure(root: string, { from, path }: Choice, reason: string): string {
  if (from === 'FEDLORA_PREBUILD')
    return 'Unset FEDLORA_PREBUILD, or let it name a folder with an addon for this machine'
  const first = {
    prebuilds: reason === 'glibc' ? 'Use a newer system' : 'Install the package anew, on this machine',
    build: `It was built for another machine: remove ${dirname(path)}, and a prebuilt one is taken`,
    executable: 'Remove it from there, and the one of the package is taken',
  }[from]
  return `${first}; or ${buildCommand(root)}`
}

/**
 * Loads the addon below `root`, uncached.
 * @throws FedloraError `E_LOAD`: where none was found, or what does not fit the one that was, and the command that helps.
 */
export function openNative(root: string, machine = thisMachine()): Native {
  const choice = chooseAddon(root, machine)
  const refuse = (reason: string, why: string, cause?: unknown) =>
    new FedloraError(
      'E_LOAD',
      `the native addon ${choice.path} (${choice.why}) cannot be used: ${why}. This is Node ${process.version} for ${describeMachine(machine)}.\n` +
        cure(root, choice, reason),
      { reason, root, path: choice.path, from: choice.from },
      cause,
    )
  try {
    const wrong = misfit(choice.path, machine)
    if (wrong !== undefined) throw refuse(wrong.reason, wrong.why)
    return guard(createRequire(import.meta.url)(choice.path) as Native)
  } catch (error) {
    throw error instanceof FedloraError ? error : refuse('refused', (error as Error).message, error)
  }
}

/**
 * The file that `native()` opens, and why it is this one.
 * @throws FedloraError `E_LOAD` as it does.
 */
export function addonChoice(): Choice {
  native()
  return chooseAddon(packageRoot())
}

/**
 * The addon of this package.
 * @throws FedloraError `E_LOAD` when it is not built or does not fit this machine.
 */
export function native(): Native {
  loaded ??= openNative(packageRoot())
  return loaded
}
