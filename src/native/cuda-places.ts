/**
 * Where the CUDA library may lie: the file that `FEDLORA_CUDA` names and no other; or else, in this order, where a build of one's own goes,
 * beside the addon, in the package `@fedlora/cuda-linux-x64`.
 */
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { addonChoice, packageRoot } from './load.js'

const fileName = 'libfedlora_cuda.so'
const packageName = '@fedlora/cuda-linux-x64'

interface Machine {
  platform: string
  arch: string
  /** `FEDLORA_CUDA`. */
  named: string | undefined
  /** The folders of a build and of the addon. */
  own: string[]
  /** The folder of the package, where it is installed. */
  installed: string | undefined
}

/** The places on a machine; none where there is no such library for it. */
export function placesOn({ platform, arch, named, own, installed }: Machine): string[] {
  if (platform !== 'linux' || arch !== 'x64') return []
  if (named) return [resolve(named)]
  const folders = [...own, ...(installed === undefined ? [] : [installed])]
  const places = [...new Set(folders.map((folder) => join(folder, fileName)))]
  return installed === undefined ? [...places, packageName] : places
}

/** The folder of the package as Node would find it from here, or undefined. */
function installedPackage(): string | undefined {
  try {
    return dirname(createRequire(join(packageRoot(), 'package.json')).resolve(`${packageName}/package.json`))
  } catch {
    return undefined
  }
}

export function cudaPlaces(): string[] {
  return placesOn({
    platform: process.platform,
    arch: process.arch,
    named: process.env.FEDLORA_CUDA,
    own: [join(packageRoot(), 'build', 'Release'), dirname(addonChoice().path)],
    installed: installedPackage(),
  })
}
