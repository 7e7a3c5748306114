/**
 * What a shared library is made for, read from its own bytes: system and processor from the head of an ELF, Mach-O or PE file; for ELF also the
 * C library and the newest version of glibc's symbols that it asks for. Formats: the System V ABI (gABI, LSB for symbol versions),
 * Apple's `mach-o/loader.h` and `fat.h`, Microsoft's PE format.
 */
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

const inOrder = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true })

/** True when version `a` (`2.17`) is older than `b`, number by number. */
export function olderThan(a: string, b: string): boolean {
  return inOrder(a, b) < 0
}

function textAt(bytes: Buffer, offset: number): string {
  const end = bytes.indexOf(0, offset)
  if (offset >= bytes.length || end < 0) throw new RangeError('a name beyond the end')
  return bytes.toString('latin1', offset, end)
}

interface Section {
  type: number
  offset: number
  size: number
  link: number
}

/** The section table of a 64-bit little-endian ELF file. */
function sectionsOf(bytes: Buffer): Section[] {
  const [start, size, count] = [Number(bytes.readBigUInt64LE(40)), bytes.readUInt16LE(58), bytes.readUInt16LE(60)]
  if (start + count * size > bytes.length) throw new RangeError('cut off')
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * size
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
    }
  })
}

/** Names of the libraries that an ELF file needs (DT_NEEDED of its dynamic section). */
function neededLibraries(bytes: Buffer, sections: Section[]): string[] {
  const names: string[] = []
  const dynamic = 6
  for (const { offset, size, link } of sections.filter(({ type }) => type === dynamic)) {
    for (let at = offset; at < offset + size; at += 16) {
      if (bytes.readBigUInt64LE(at) !== 1n) continue
      names.push(textAt(bytes, sections[link]!.offset + Number(bytes.readBigUInt64LE(at + 8))))
    }
  }
  return names
}

/** Names of the symbol versions that an ELF file needs (SHT_GNU_verneed), such as `GLIBC_2.17`. */
function neededVersions(bytes: Buffer, sections: Section[]): string[] {
  const names: string[] = []
  const verneed = 0x6ffffffe
  for (const { offset, link } of sections.filter(({ type }) => type === verneed)) {
    for (let file = offset, nextFile = -1; nextFile !== 0; file += nextFile) {
      nextFile = bytes.readUInt32LE(file + 12)
      for (let version = file + bytes.readUInt32LE(file + 8), next = -1; next !== 0; version += next) {
        names.push(textAt(bytes, sections[link]!.offset + bytes.readUInt32LE(version + 8)))
        next = bytes.readUInt32LE(version + 12)
      }
    }
  }
  return names
}

function readElf(bytes: Buffer): Binary {
  const little = bytes[5] === 1
  const machine = little ? bytes.readUInt16LE(18) : bytes.readUInt16BE(18)
  const binary: Binary = {
    format: 'ELF',
    platform: 'linux',
    archs: [archOf(elfMachines, machine)],
    libc: null,
    glibcFloor: null,
  }
  if (bytes[4] !== 2 || !little) return binary
  const sections = sectionsOf(bytes)
  const libraries = neededLibraries(bytes, sections)
  if (libraries.includes('libc.so.6')) binary.libc = 'glibc'
  else if (libraries.some((name) => /^libc\.(so$|musl-)/.test(name))) binary.libc = 'musl'
  const versions = neededVersions(bytes, sections).flatMap((name) => /^GLIBC_([\d.]+)$/.exec(name)?.[1] ?? [])
  binary.glibcFloor = versions.sort(inOrder).at(-1) ?? null
  return binary
}

function readUniversal(bytes: Buffer): string[] {
  const count = bytes.readUInt32BE(4)
  if (count > 32) throw new RangeError('no universal Mach-O file but a Java class')
  return Array.from({ length: count }, (_, i) => archOf(machMachines, bytes.readUInt32BE(8 + 20 * i)))
}

/** What these bytes are made for, or undefined when they are no shared library, or cut off. */
export function parseBinary(bytes: Buffer): Binary | undefined {
  const none = { libc: null, glibcFloor: null }
  try {
    const magic = bytes.readUInt32BE(0)
    if (magic === 0x7f454c46) return readElf(bytes)
    if (magic === 0xcffaedfe)
      return { format: 'Mach-O', platform: 'darwin', archs: [archOf(machMachines, bytes.readUInt32LE(4))], ...none }
    if (magic === 0xcafebabe) return { format: 'Mach-O', platform: 'darwin', archs: readUniversal(bytes), ...none }
    const head = magic >>> 16 === 0x4d5a ? bytes.readUInt32LE(0x3c) : undefined
    if (head !== undefined && bytes.readUInt32BE(head) === 0x50450000)
      return { format: 'PE', platform: 'win32', archs: [archOf(peMachines, bytes.readUInt16LE(head + 4))], ...none }
    return undefined
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return undefined
    throw error
  }
}
