/**
 * What a shared library is made for, read from its own bytes: system and processor from the head of an ELF, Mach-O or PE file; for ELF also the
 * C library and the newest version of glibc's symbols that it asks for. Formats: the System V ABI, Apple's `mach-o/loader.h` and `fat.h`,
 * Microsoft's PE format.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { neededLibraries, neededVersions, type Read, sectionsOf } from './elf.js'

export type Libc = 'glibc' | 'musl'

/** Names of systems and processors are Node's: `process.platform`, `process.arch`; every ELF file counts as Linux's. */
export interface Binary {
  format: 'ELF' | 'Mach-O' | 'PE'
  platform: string
  /** More than one in a universal Mach-O file. */
  archs: string[]
  /** Null where it asks for none, and for other systems than Linux. */
  libc: Libc | null
  /** Such as `2.17`; null where it asks for none. */
  glibcFloor: string | null
}

const elfMachines: Record<number, string> = {
  3: 'ia32',
  21: 'ppc64',
  22: 's390x',
  40: 'arm',
  62: 'x64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loong64',
}
const machMachines: Record<number, string> = { 16777223: 'x64', 16777228: 'arm64' }
const peMachines: Record<number, string> = { 332: 'ia32', 34404: 'x64', 43620: 'arm64' }

const archOf = (machines: Record<number, string>, machine: number) =>
  machines[machine] ?? `machine 0x${machine.toString(16)}`

/** Below zero where version `a` is older: number by number. A collator of the language's own takes 6 ms to make, at every start. */
function inOrder(a: string, b: string): number {
  const [ours, theirs] = [a, b].map((version) => version.split('.').map(Number)) as [number[], number[]]
  const at = ours.findIndex((part, i) => part !== theirs[i])
  return at < 0 ? ours.length - theirs.length : ours[at]! - (theirs[at] ?? -1)
}

/** True when version `a` (`2.17`) is older than `b`. */
export function olderThan(a: string, b: string): boolean {
  return inOrder(a, b) < 0
}

function readElf(read: Read): Binary {
  const head = read(0, 20)
  const little = head[5] === 1
  const machine = little ? head.readUInt16LE(18) : head.readUInt16BE(18)
  const binary: Binary = {
    format: 'ELF',
    platform: 'linux',
    archs: [archOf(elfMachines, machine)],
    libc: null,
    glibcFloor: null,
  }
  if (head[4] !== 2 || !little) return binary
  const sections = sectionsOf(read)
  const libraries = neededLibraries(read, sections)
  if (libraries.includes('libc.so.6')) binary.libc = 'glibc'
  else if (libraries.some((name) => /^libc\.(so$|musl-)/.test(name))) binary.libc = 'musl'
  const versions = neededVersions(read, sections).flatMap((name) => /^GLIBC_([\d.]+)$/.exec(name)?.[1] ?? [])
  binary.glibcFloor = versions.sort(inOrder).at(-1) ?? null
  return binary
}

function readUniversal(read: Read): string[] {
  const count = read(4, 4).readUInt32BE()
  if (count > 32) throw new RangeError('no universal Mach-O file but a Java class')
  const table = read(8, 20 * count)
  return Array.from({ length: count }, (_, i) => archOf(machMachines, table.readUInt32BE(20 * i)))
}

function readAny(read: Read): Binary | undefined {
  const none = { libc: null, glibcFloor: null }
  const mac = (archs: string[]): Binary => ({ format: 'Mach-O', platform: 'darwin', archs, ...none })
  try {
    const magic = read(0, 4).readUInt32BE()
    if (magic === 0x7f454c46) return readElf(read)
    if (magic === 0xcffaedfe) return mac([archOf(machMachines, read(4, 4).readUInt32LE())])
    if (magic === 0xcafebabe) return mac(readUniversal(read))
    if (magic >>> 16 !== 0x4d5a) return undefined
    const head = read(read(0x3c, 4).readUInt32LE(), 6)
    if (head.readUInt32BE() !== 0x50450000) return undefined
    return { format: 'PE', platform: 'win32', archs: [archOf(peMachines, head.readUInt16LE(4))], ...none }
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return undefined
    throw error
  }
}

/** A file that is in memory. */
export function readerOf(bytes: Buffer): Read {
  return (offset, length) => {
    if (offset + length > bytes.length) throw new RangeError('cut off')
    return bytes.subarray(offset, offset + length)
  }
}

/** What these bytes are made for, or undefined when they are no shared library, or cut off. */
export function parseBinary(bytes: Buffer): Binary | undefined {
  return readAny(readerOf(bytes))
}

/** `parseBinary` of a file, of which no more is read than says so: some ten kilobytes of five megabytes. */
export function readBinary(path: string): Binary | undefined {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    return readAny((offset, length) => {
      if (offset + length > size) throw new RangeError('cut off')
      const bytes = Buffer.alloc(length)
      readSync(file, bytes, 0, length, offset)
      return bytes
    })
  } finally {
    closeSync(file)
  }
}
