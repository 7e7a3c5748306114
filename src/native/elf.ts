/** What a 64-bit little-endian ELF file says of the libraries that it needs. Format: the System V ABI (gABI), LSB for symbol versions. */

/** `length` bytes of a file from `offset` on; a RangeError where it has fewer. */
export type Read = (offset: number, length: number) => Buffer

export interface Section {
  type: number
  offset: number
  size: number
  /** The section with the names that this one speaks of. */
  link: number
}

/** The text that a zero byte ends. */
export function textAt(bytes: Buffer, offset: number): string {
  const end = bytes.indexOf(0, offset)
  if (offset >= bytes.length || end < 0) throw new RangeError('a name beyond the end')
  return bytes.toString('latin1', offset, end)
}

export function sectionsOf(read: Read): Section[] {
  const head = read(0, 64)
  const [start, size, count] = [Number(head.readBigUInt64LE(40)), head.readUInt16LE(58), head.readUInt16LE(60)]
  const table = read(start, count * size)
  return Array.from({ length: count }, (_, i) => ({
    type: table.readUInt32LE(i * size + 4),
    offset: Number(table.readBigUInt64LE(i * size + 24)),
    size: Number(table.readBigUInt64LE(i * size + 32)),
    link: table.readUInt32LE(i * size + 40),
  }))
}

/** The sections of a type, each with the names that it speaks of. */
export function contentsOf(read: Read, sections: Section[], type: number): { content: Buffer; names: Buffer }[] {
  const bytes = ({ offset, size }: Section) => read(offset, size)
  return sections
    .filter((section) => section.type === type)
    .map((section) => ({ content: bytes(section), names: bytes(sections[section.link]!) }))
}

/** Names of the libraries that it needs (DT_NEEDED of the dynamic section). */
export function neededLibraries(read: Read, sections: Section[]): string[] {
  const dynamic = 6
  return contentsOf(read, sections, dynamic).flatMap(({ content, names }) =>
    Array.from({ length: content.length / 16 }, (_, i) => 16 * i)
      .filter((at) => content.readBigUInt64LE(at) === 1n)
      .map((at) => textAt(names, Number(content.readBigUInt64LE(at + 8)))),
  )
}

/** Names of the symbol versions that it needs (SHT_GNU_verneed), such as `GLIBC_2.17`. */
export function neededVersions(read: Read, sections: Section[]): string[] {
  const found: string[] = []
  const verneed = 0x6ffffffe
  for (const { content, names } of contentsOf(read, sections, verneed)) {
    for (let file = 0, nextFile = -1; nextFile !== 0; file += nextFile) {
      nextFile = content.readUInt32LE(file + 12)
      for (let version = file + content.readUInt32LE(file + 8), next = -1; next !== 0; version += next) {
        found.push(textAt(names, content.readUInt32LE(version + 8)))
        next = content.readUInt32LE(version + 12)
      }
    }
  }
  return found
}
