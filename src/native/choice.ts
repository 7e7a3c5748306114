/**
 * Which addon is for this machine. node-gyp-build looks through the places, in its order: the folder that `FEDLORA_PREBUILD` names or else
 * this package, there `build/Release`, `build/Debug`, `prebuilds/<platform>-<arch>/`; last beside the program that runs. It tells musl by
 * `/etc/alpine-release`, which other systems with musl lack, and takes the processor from npm's variables: we tell it both.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { FedloraError } from '../errors.js'
import type { Libc } from './binary.js'

export interface Machine {
  /** `process.platform` and `process.arch`. */
  platform: string
  arch: string
  /** Null where a system has but one. */
  libc: Libc | null
  /** Of the running process; null without glibc. */
  glibcVersion: string | null
}

export interface Choice {
  path: string
  from: 'FEDLORA_PREBUILD' | 'build' | 'prebuilds' | 'executable'
  /** For people. */
  why: string
}

let known: Machine | undefined

/** The machine that the running Node was made for; its own report says which C library it is linked with. */
export function thisMachine(): Machine {
  known ??= { platform: process.platform, arch: process.arch, ...runningLibc() }
  return known
}

function runningLibc(): Pick<Machine, 'libc' | 'glibcVersion'> {
  if (process.platform !== 'linux') return { libc: null, glibcVersion: null }
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork?: boolean }
  const before = report.excludeNetwork
  report.excludeNetwork = true // the names of open connections would be asked of DNS, waiting
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } }
  report.excludeNetwork = before
  const glibcVersion = header.glibcVersionRuntime ?? null
  return { libc: glibcVersion === null ? 'musl' : 'glibc', glibcVersion }
}

/** `linux-x64 (glibc 2.36)`, `linux-arm64 (musl)`, `darwin-arm64`. */
export function describeMachine({ platform, arch, libc, glibcVersion }: Machine): string {
  const version = glibcVersion === null ? '' : ` ${glibcVersion}`
  return `${platform}-${arch}${libc === null ? '' : ` (${libc}${version})`}`
}

/** `linux-x64 (glibc, musl)`, one a platform. */
export function prebuiltPlatforms(root: string): string[] {
  const folder = join(root, 'prebuilds')
  const entries = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []
  const platforms = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  return platforms.sort().flatMap((platform) => {
    const files = readdirSync(join(folder, platform)).filter((name) => name.endsWith('.node'))
    const libcs = files.flatMap((name) => /\.(glibc|musl)\./.exec(name)?.[1] ?? []).sort()
    return files.length === 0 ? [] : [libcs.length === 0 ? platform : `${platform} (${libcs.join(', ')})`]
  })
}

type Resolver = (folder: string) => string

/** node-gyp-build for a machine. It reads the variables as it is loaded, so this is an instance that nobody else has loaded. */
function resolverFor({ platform, arch, libc }: Machine): Resolver {
  const require = createRequire(import.meta.url)
  const file = require.resolve('node-gyp-build/node-gyp-build.js')
  const theirs = require.cache[file]
  const told = { npm_config_platform: platform, npm_config_arch: arch, LIBC: libc ?? '' }
  const before = Object.keys(told).map((name) => [name, process.env[name]] as const)
  try {
    delete require.cache[file]
    Object.assign(process.env, told)
    return (require(file) as { resolve: Resolver }).resolve
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    if (theirs === undefined) delete require.cache[file]
    else require.cache[file] = theirs
  }
}

const below = (folder: string, path: string) => !/^(\.\.|[A-Za-z]:)/.test(relative(folder, path))

function explain(root: string, path: string, machine: Machine): Omit<Choice, 'path'> {
  const named = process.env.FEDLORA_PREBUILD
  if (named && below(resolve(named), path)) return { from: 'FEDLORA_PREBUILD', why: `FEDLORA_PREBUILD names ${named}` }
  if (below(join(root, 'build'), path))
    return { from: 'build', why: 'built on this machine, which comes before what is in prebuilds' }
  const by = machine.libc === null ? '' : ', the C library as the running Node reports it'
  const why = `prebuilt for ${machine.platform}-${machine.arch}; this is ${describeMachine(machine)}${by}`
  if (below(join(root, 'prebuilds'), path)) return { from: 'prebuilds', why }
  return { from: 'executable', why: `beside the program that runs, ${dirname(process.execPath)}` }
}

/** What to do where no addon fits, as the end of a sentence: a checkout and an installed package are built by different commands. */
export function buildCommand(root: string): string {
  const command = existsSync(join(root, 'src')) ? 'npm run build' : 'npx fedlora build'
  return `build one for this machine (CMake and a C++20 compiler are all it needs) with: ${command}`
}

function tried(root: string, { platform, arch }: Machine): string[] {
  const places = [join(root, 'build', 'Release'), join(root, 'prebuilds', `${platform}-${arch}`)]
  return places.map((place) => {
    if (!existsSync(place)) return `${place} (not there)`
    const found = readdirSync(place).filter((name) => name.endsWith('.node'))
    return `${place} (${found.length === 0 ? 'holds no .node file' : found.join(', ')})`
  })
}

/**
 * The addon for a machine and why it is this one; nothing is opened.
 * @param root - the package's folder.
 * @throws FedloraError `E_LOAD` when there is none: the machine, what the package brings, the command that builds one.
 */
export function chooseAddon(root: string, machine = thisMachine()): Choice {
  const resolver = resolverFor(machine)
  try {
    const path = resolver(root)
    return { path, ...explain(root, path, machine) }
  } catch (error) {
    const named = process.env.FEDLORA_PREBUILD
    const places = tried(named || root, machine)
    const brought = prebuiltPlatforms(root)
    const brings = brought.length === 0 ? 'no binary' : `binaries for ${brought.join(', ')}`
    const first = named ? `FEDLORA_PREBUILD names ${named}: unset it, and the package's own is taken. ` : ''
    throw new FedloraError(
      'E_LOAD',
      `there is no native addon for ${describeMachine(machine)}.\nLooked in:\n${places.map((place) => `  ${place}`).join('\n')}\n` +
        `${first}This package brings ${brings}; ${buildCommand(root)}`,
      { reason: 'missing', root, places, brought },
      error,
    )
  }
}
