/** Opens the addon on first use; nothing happens on import. node-gyp-build looks in `build/Release`, then in `prebuilds/`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FedloraError } from '../errors.js'
import type { Native } from './binding.js'
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

function tried(root: string): string[] {
  const places = [join(root, 'build', 'Release'), join(root, 'prebuilds', `${process.platform}-${process.arch}`)]
  return places.map((place) => {
    if (!existsSync(place)) return `${place} (not there)`
    const found = readdirSync(place).filter((name) => name.endsWith('.node'))
    return `${place} (${found.length === 0 ? 'holds no .node file' : found.join(', ')})`
  })
}

/** What to do where no addon fits: a checkout and an installed package are built by different commands. */
function cure(root: string): string {
  const prebuilds = join(root, 'prebuilds')
  const platforms = existsSync(prebuilds) ? readdirSync(prebuilds).sort() : []
  const there =
    platforms.length === 0
      ? 'This package brings no binary'
      : `This package brings binaries for ${platforms.join(', ')}`
  const command = existsSync(join(root, 'src')) ? 'npm run build' : 'npx fedlora build'
  return `${there}. Build one for this machine (CMake and a C++20 compiler are all it needs) with: ${command}`
}

/**
 * Loads the addon below `root`, uncached.
 * @throws FedloraError `E_LOAD` listing what was tried and the command that helps.
 */
export function openNative(root: string): Native {
  const require = createRequire(import.meta.url)
  try {
    const build = require('node-gyp-build') as (folder: string) => Native
    return guard(build(root))
  } catch (error) {
    if (error instanceof FedloraError) throw error
    const places = tried(root)
    throw new FedloraError(
      'E_LOAD',
      `the native addon could not be loaded on ${process.platform}-${process.arch} with Node ${process.version}: ${(error as Error).message}\n` +
        `Looked in:\n${places.map((place) => `  ${place}`).join('\n')}\n${cure(root)}`,
      { root, places },
      error,
    )
  }
}

/**
 * The file that `native()` opens.
 * @throws FedloraError `E_LOAD` as it does.
 */
export function addonPath(): string {
  native()
  const build = createRequire(import.meta.url)('node-gyp-build') as { resolve(folder: string): string }
  return build.resolve(packageRoot())
}

/**
 * The addon of this package.
 * @throws FedloraError `E_LOAD` when it is not built or does not fit this machine.
 */
export function native(): Native {
  loaded ??= openNative(packageRoot())
  return loaded
}
