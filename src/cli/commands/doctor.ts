/** `fedlora doctor`: which addon is loaded, which instruction set and kernels run, what would be faster, and the CUDA devices. */
import { freemem, totalmem } from 'node:os'
import { formatBytes } from '../../errors/describe.js'
import { readBinary } from '../../native/binary.js'
import type { CudaInfo, NativeInfo } from '../../native/binding.js'
import { cudaInfo } from '../../native/device.js'
import { addonChoice, native } from '../../native/load.js'
import type { Command } from '../command.js'
import { formatTable } from '../words.js'

export interface Advice {
  what: string
  why: string
}

/** What would be faster on a machine, and why it is not in use. */
export function advise(info: Pick<NativeInfo, 'isa' | 'detectedIsa' | 'kernels' | 'levels'>): Advice[] {
  const rank = (isa: string) => info.levels.findIndex((level) => level.isa === isa)
  const advice: Advice[] = []
  for (const level of info.levels.slice(rank(info.isa) + 1)) {
    const here = rank(level.isa) <= rank(info.detectedIsa)
    advice.push({
      what: `the ${level.isa} kernels`,
      why: here
        ? 'this machine has them, but FEDLORA_ISA caps the engine below; unset it'
        : `this processor lacks some of ${level.needs}`,
    })
  }
  const slower = info.kernels.filter(({ isa }) => rank(isa) < rank(info.isa))
  if (slower.length > 0) {
    const names = slower.map(({ kernel, isa }) => `${kernel} (${isa})`).join(', ')
    advice.push({
      what: `${info.isa} versions of ${slower.length} kernels`,
      why: `not written, or not needed: ${names}`,
    })
  }
  return advice
}

/** Devices, or why there is none that can be used: one line for each thing that was looked for. */
export function describeCuda(cuda: CudaInfo): string[] {
  const devices = cuda.devices.map(({ device, name, capability, totalBytes, freeBytes, code, problem }) => {
    const use = code === null ? `use it with --device ${device}` : `${code}: ${problem}`
    return `  ${device}: ${name}, compute capability ${capability}, ${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}; ${use}`
  })
  const looked = cuda.looked.map(
    ({ place, problem }) =>
      `  ${problem === null ? 'opened' : 'looked for'}: ${place}${problem === null ? '' : ` (${problem.split('\n')[0]})`}`,
  )
  const versions =
    cuda.runtime === null ? [] : [`  library of CUDA ${cuda.runtime}, driver for ${cuda.driver ?? 'none'}`]
  const verdict = cuda.code === null ? [] : [`  not usable: ${cuda.code}: ${cuda.problem!.split('\n').at(-1)}`]
  return ['CUDA devices:', ...devices, ...verdict, ...looked, ...versions]
}

export const doctor: Command = {
  name: 'doctor',
  flags: { kernels: { type: 'boolean', description: 'list every kernel and the instruction set it comes from' } },
  async run({ flags, output }) {
    const info = native().info()
    const memory = native().processMemory()
    const { path, from, why } = addonChoice()
    const glibcFloor = readBinary(path)?.glibcFloor ?? null
    const advice = advise(info)
    const cuda = cudaInfo()
    const result = {
      version: info.version,
      addon: path,
      addonFrom: from,
      addonWhy: why,
      glibcFloor,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      cpu: info.cpu,
      isa: info.isa,
      detectedIsa: info.detectedIsa,
      isaCap: process.env.FEDLORA_ISA || null,
      threads: info.cores,
      kernels: info.kernels,
      memory: { totalBytes: totalmem(), freeBytes: freemem(), residentBytes: memory.residentBytes },
      faster: advice,
      cuda,
    }
    output.text(
      formatTable(
        [
          ['fedlora', `${info.version} on Node ${process.version}, ${result.platform}`],
          ['addon', path],
          ['chosen', glibcFloor === null ? why : `${why}; needs glibc ${glibcFloor} or newer`],
          ['processor', info.cpu.trim()],
          ['instruction set', `${info.isa} in use, ${info.detectedIsa} detected`],
          ['threads', String(info.cores)],
          ['memory', `${formatBytes(result.memory.freeBytes)} free of ${formatBytes(result.memory.totalBytes)}`],
        ].map(([left, right]) => [`${left}:`.padEnd(17) + right]),
      ),
    )
    output.text()
    if (flags.kernels) {
      output.text('Kernels in use:')
      output.text(formatTable(info.kernels.map(({ kernel, isa }) => [`  ${kernel}`, isa])))
      output.text()
    }
    output.text(
      advice.length === 0
        ? 'Nothing faster is known for this machine.'
        : 'What would be faster, and why it is not used:',
    )
    for (const { what, why } of advice) output.text(`  ${what}: ${why}`)
    output.text()
    for (const line of describeCuda(cuda)) output.text(line)
    return result
  },
}
