/**
 * `fedlora build`: compiles the addon from the sources in the package, for a platform without a prebuilt binary or for a C library of
 * another kind. Needs CMake and a C++20 compiler; the headers of Node-API come from npm packages that are installed with this one. With --cuda
 * the CUDA library instead, which needs the CUDA toolkit too, but no GPU.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { cudaInfo } from '../../native/device.js'
import { addonChoice, native, packageRoot } from '../../native/load.js'
import type { Command } from '../command.js'
import type { Output } from '../output.js'
import { formatSeconds, shownPath } from '../words.js'
import { describeCuda } from './doctor.js'

const needed = ['CMakeLists.txt', 'native', 'scripts/build-native.mjs']

/** @throws FedloraError `E_MISSING` without the sources, `E_IO` where the package cannot be written. */
function checkPackage(root: string): void {
  const gone = needed.filter((name) => !existsSync(join(root, name)))
  if (gone.length > 0) {
    const cure = 'install the package anew, whole: a bundle or a pruned copy of it cannot be built'
    throw new FedloraError('E_MISSING', `${root}: lacks ${gone.join(', ')}; ${cure}`, { root, missing: gone })
  }
  try {
    accessSync(root, constants.W_OK)
  } catch (error) {
    const cure = 'run this as the owner of the folder, or install the package where you may write'
    throw new FedloraError('E_IO', `${root}: cannot be written, so the addon has no place; ${cure}`, { root }, error)
  }
}

/** Runs the build script; the tools' own words go to stderr. */
async function compile(root: string, script: string, options: string[], signal: AbortSignal): Promise<void> {
  const args = [join(root, 'scripts', script), ...options]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 'pipe'], signal })
  let said = ''
  child.stderr!.on('data', (chunk: Buffer) => {
    process.stderr.write(chunk)
    said = (said + chunk.toString()).slice(-4000)
  })
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code === 0) return
  const [, why] = /build-\w+: (E_[\s\S]*)$/.exec(said) ?? []
  const message = why?.trim() ?? `the build ended with status ${code}; what the tools said is above`
  throw new FedloraError('E_BUILD', message, { root, status: code })
}

async function buildCuda(output: Output, signal: AbortSignal): Promise<Record<string, unknown>> {
  output.note('compiling the CUDA library: some minutes')
  await compile(packageRoot(), 'build-cuda.mjs', [], signal)
  const cuda = cudaInfo()
  for (const line of describeCuda(cuda)) output.text(line)
  return { ...cuda }
}

export const build: Command = {
  name: 'build',
  flags: {
    cuda: {
      type: 'boolean',
      description: 'build the library for NVIDIA GPUs (with the CUDA toolkit) instead of the addon',
    },
  },
  async run({ flags, output, signal }) {
    checkPackage(packageRoot())
    if (flags.cuda) return await buildCuda(output, signal)
    output.note('compiling the native addon: a minute or two')
    const started = performance.now()
    const clean = existsSync(join(packageRoot(), 'src')) ? [] : ['--clean']
    await compile(packageRoot(), 'build-native.mjs', clean, signal)
    const seconds = (performance.now() - started) / 1000
    const { isa } = native().info()
    const { path } = addonChoice()
    output.text(`built in ${formatSeconds(seconds)}: ${shownPath(path)}, ${isa} kernels`)
    return { addon: path, isa, seconds }
  },
}
