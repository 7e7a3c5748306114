/** Shared libraries made up for tests: as much of a file as its reader looks at. */
import { createHash } from 'node:crypto'

const cString = (text: string) => Buffer.from(`${text}\0`, 'latin1')

/** A 64-bit little-endian ELF file with a dynamic section and the versions that it asks of glibc; its section table ends it. */
export function elfOf({
  machine,
  libraries,
  versions,
}: {
  machine: number
  libraries: string[]
  versions: string[]
}): Buffer {
  const offsets = new Map<string, number>()
  let names = Buffer.alloc(1)
  for (const name of [...libraries, ...versions.map((version) => `GLIBC_${version}`)]) {
    offsets.set(name, names.length)
    names = Buffer.concat([names, cString(name)])
  }
  const dynamic = Buffer.alloc(16 * (libraries.length + 1))
  for (const [i, name] of libraries.entries()) {
    dynamic.writeBigUInt64LE(1n, 16 * i)
    dynamic.writeBigUInt64LE(BigInt(offsets.get(name)!), 16 * i + 8)
  }
  // One Elf64_Verneed, then an Elf64_Vernaux a version.
  const needs = Buffer.alloc(versions.length === 0 ? 0 : 16 * (1 + versions.length))
  if (versions.length > 0) needs.writeUInt32LE(16, 8)
  for (const [i, version] of versions.entries()) {
    needs.writeUInt32LE(offsets.get(`GLIBC_${version}`)!, 16 * (i + 1) + 8)
    needs.writeUInt32LE(i + 1 < versions.length ? 16 : 0, 16 * (i + 1) + 12)
  }
  const parts = [Buffer.alloc(64), names, dynamic, needs]
  const start = (part: number) => parts.slice(0, part).reduce((sum, { length }) => sum + length, 0)
  const section = (type: number, part: number) => {
    const header = Buffer.alloc(64)
    header.writeUInt32LE(type, 4)
    header.writeBigUInt64LE(BigInt(start(part)), 24)
    header.writeBigUInt64LE(BigInt(parts[part]!.length), 32)
    header.writeUInt32LE(1, 40) // names are section 1
    return header
  }
  const sections = [Buffer.alloc(64), section(3, 1), section(6, 2), section(0x6ffffffe, 3)].slice(
    0,
    versions.length > 0 ? 4 : 3,
  )
  const head = parts[0]!
  head.write('\x7fELF\x02\x01\x01', 'latin1')
  head.writeUInt16LE(machine, 18)
  head.writeBigUInt64LE(BigInt(start(parts.length)), 40)
  head.writeUInt16LE(64, 58)
  head.writeUInt16LE(sections.length, 60)
  return Buffer.concat([...parts, ...sections])
}

/** The heads of files of other systems. */
export const headOf = {
  machO(cpu: number): Buffer {
    const head = Buffer.alloc(32)
    head.writeUInt32LE(0xfeedfacf, 0)
    head.writeUInt32LE(cpu, 4)
    return head
  },
  universal(cpus: number[]): Buffer {
    const head = Buffer.alloc(8 + 20 * cpus.length)
    head.writeUInt32BE(0xcafebabe, 0)
    head.writeUInt32BE(cpus.length, 4)
    for (const [i, cpu] of cpus.entries()) head.writeUInt32BE(cpu, 8 + 20 * i)
    return head
  },
  pe(machine: number): Buffer {
    const head = Buffer.alloc(0x98)
    head.write('MZ', 'latin1')
    head.writeUInt32LE(0x80, 0x3c)
    head.write('PE\0\0', 0x80, 'latin1')
    head.writeUInt16LE(machine, 0x84)
    return head
  },
}

interface MachO {
  cpu: number
  libraries: string[]
  /** What is bound, without C's underscore; `library` counts from 1, -2 is any that is loaded. */
  imports: { name: string; library: number }[]
  exports: string[]
  minimum: [major: number, minor: number]
  installName: string
  signed: boolean
}

/** A 64-bit Mach-O library with its load commands, symbol table and, ad hoc, signature: a page's SHA-256 for each 4 KiB. */
export function machOOf({ cpu, libraries, imports, exports, minimum, installName, signed }: MachO): Buffer {
  const words = (...values: number[]) => {
    const bytes = Buffer.alloc(4 * values.length)
    for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i)
    return bytes
  }
  const named = (command: number, name: string) => {
    const text = Buffer.alloc(Math.ceil((name.length + 1) / 8) * 8)
    text.write(name, 'latin1')
    return Buffer.concat([words(command, 24 + text.length, 24, 0, 0, 0), text])
  }
  const local = ['', 'local'] // a stab for debuggers, and a symbol that nobody outside sees
  const all = [...local, ...imports.map(({ name }) => name), ...exports]
  let names = Buffer.alloc(1)
  const symbols = Buffer.alloc(16 * all.length)
  for (const [i, name] of all.entries()) {
    symbols.writeUInt32LE(names.length, 16 * i)
    names = Buffer.concat([names, cString(`_${name}`)])
    const foreign = imports[i - local.length]
    symbols[16 * i + 4] = i === 0 ? 0x64 : i === 1 ? 0x0e : foreign === undefined ? 0x0f : 0x01
  }
  const bound = Buffer.concat(
    imports.flatMap(({ name, library }) => [
      Buffer.from(library < 0 ? [0x30 | (library & 15)] : [0x10 | library]),
      Buffer.concat([Buffer.from([0x40]), cString(`_${name}`), Buffer.from([0x51, 0x72, 0x80, 0x01, 0x90])]),
    ]),
  )
  // The first is bound at once, the others when they are called.
  const firstBound = bound.indexOf(0x90) + 1
  const build = (symbolsAt: number, signatureAt: number) => {
    const boundAt = symbolsAt + symbols.length + names.length
    return [
      ...libraries.map((name) => named(0xc, name)),
      named(0xd, installName),
      words(0x32, 24, 1, (minimum[0] << 16) | (minimum[1] << 8), 0, 0),
      words(0x2, 24, symbolsAt, all.length, symbolsAt + symbols.length, names.length),
      words(0x80000022, 48, 0, 0, boundAt, firstBound, 0, 0, boundAt + firstBound, bound.length - firstBound, 0, 0),
      ...(signed ? [words(0x1d, 16, signatureAt, 0)] : []),
    ]
  }
  const commands = build(0, 0)
  const symbolsAt = 32 + commands.reduce((sum, { length }) => sum + length, 0)
  const body = symbolsAt + symbols.length + names.length + bound.length
  const padding = Buffer.alloc(5000) // more than one page
  const signatureAt = body + padding.length
  const head = words(0xfeedfacf, cpu, 0, 6, commands.length, symbolsAt - 32, 0, 0)
  const content = Buffer.concat([head, ...build(symbolsAt, signatureAt), symbols, names, bound, padding])
  if (!signed) return content
  const pages = Math.ceil(content.length / 4096)
  const directory = Buffer.alloc(48 + 32 * pages)
  for (const [at, value] of [
    [0, 0xfade0c02],
    [4, directory.length],
    [12, 2],
    [16, 48],
    [28, pages],
    [32, content.length],
  ] as const)
    directory.writeUInt32BE(value, at)
  directory.set([32, 2, 0, 12], 36)
  for (let i = 0; i < pages; i++)
    directory.set(
      createHash('sha256')
        .update(content.subarray(4096 * i, 4096 * (i + 1)))
        .digest(),
      48 + 32 * i,
    )
  const blob = Buffer.alloc(20)
  for (const [i, value] of [0xfade0cc0, 20 + directory.length, 1, 0, 20].entries()) blob.writeUInt32BE(value, 4 * i)
  return Buffer.concat([content, blob, directory])
}

/** A 64-bit PE library with one section, which holds its import and export tables. */
export function peOf({
  machine,
  imports,
  exports,
}: {
  machine: number
  imports: Record<string, string[]>
  exports: string[]
}) {
  const [address, start] = [0x1000, 0x200] // of the section: in memory, in the file
  const section = Buffer.alloc(0x4000)
  let used = 0
  const take = (length: number) => {
    const at = used
    used += Math.ceil(length / 8) * 8
    return at
  }
  const write = (bytes: Buffer) => {
    const at = take(bytes.length)
    section.set(bytes, at)
    return at + address
  }
  const libraries = Object.entries(imports)
  const descriptors = take(20 * (libraries.length + 1))
  for (const [i, [library, names]] of libraries.entries()) {
    const table = take(8 * (names.length + 1))
    for (const [k, name] of names.entries()) {
      const hint = write(Buffer.concat([Buffer.alloc(2), cString(name)]))
      section.writeUInt32LE(hint, table + 8 * k)
    }
    section.writeUInt32LE(table + address, descriptors + 20 * i)
    section.writeUInt32LE(write(cString(library)), descriptors + 20 * i + 12)
  }
  const directory = take(40)
  const names = take(4 * exports.length)
  for (const [k, name] of exports.entries()) section.writeUInt32LE(write(cString(name)), names + 4 * k)
  section.writeUInt32LE(exports.length, directory + 24)
  section.writeUInt32LE(names + address, directory + 32)
  const head = Buffer.alloc(start)
  head.set(headOf.pe(machine))
  head.writeUInt16LE(1, 0x86)
  head.writeUInt16LE(0xf0, 0x94)
  const optional = 0x98
  head.writeUInt32LE(directory + address, optional + 112)
  head.writeUInt32LE(libraries.length === 0 ? 0 : descriptors + address, optional + 120)
  for (const [offset, value] of [
    [8, section.length],
    [12, address],
    [16, section.length],
    [20, start],
  ] as const)
    head.writeUInt32LE(value, optional + 0xf0 + offset)
  return Buffer.concat([head, section])
}
