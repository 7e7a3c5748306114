/** Shared libraries made up for tests: as much of a file as its reader looks at. */

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
