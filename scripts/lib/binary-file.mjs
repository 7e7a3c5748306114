// What a shared library asks for and offers, read from its own bytes, for the checks of prebuilt binaries: libraries, undefined and exported
// symbols, oldest system, signature. ELF (gABI), Mach-O (Apple's mach-o/loader.h, nlist.h, cs_blobs.h) and PE, all 64 bits, little-endian.
// `src/native/binary.ts` and `elf.ts` read what the loader wants, too: system, processor, C library, sections.
import { createHash } from 'node:crypto'
import { readerOf } from '../../dist/native/binary.js'
import { contentsOf, neededLibraries, sectionsOf, textAt } from '../../dist/native/elf.js'

/**
 * @typedef {object} BinaryFile
 * @property {string[]} libraries that it needs
 * @property {string[]} imports undefined symbols; where the file says whose they are, as `library:symbol`
 * @property {string[]} exports
 * @property {string} [minimum] oldest macOS
 * @property {string} [installName] of macOS
 * @property {'none' | 'broken' | 'ad hoc' | 'other'} [signature] of macOS
 */

/** @returns {BinaryFile} */
function readElf(/** @type {Buffer} */ bytes) {
  const read = readerOf(bytes)
  const sections = sectionsOf(read)
  const dynamicSymbols = 11
  const outside = contentsOf(read, sections, dynamicSymbols)
    .flatMap(({ content, names }) =>
      Array.from({ length: content.length / 24 }, (_, i) => ({
        name: textAt(names, content.readUInt32LE(24 * i)),
        local: content[24 * i + 4] >> 4 === 0,
        defined: content.readUInt16LE(24 * i + 6) !== 0,
      })),
    )
    .filter(({ name, local }) => name !== '' && !local)
  return {
    libraries: neededLibraries(read, sections),
    imports: outside.filter(({ defined }) => !defined).map(({ name }) => name),
    exports: outside.filter(({ defined }) => defined).map(({ name }) => name),
  }
}

/** A signature holds if each page of the file has the SHA-256 that the code directory says. */
function readSignature(/** @type {Buffer} */ bytes, /** @type {number} */ start) {
  const blobs = Array.from(
    { length: bytes.readUInt32BE(start + 8) },
    (_, i) => start + bytes.readUInt32BE(start + 16 + 8 * i),
  )
  const directory = blobs.find((at) => bytes.readUInt32BE(at) === 0xfade0c02)
  if (directory === undefined) return 'broken'
  const field = (/** @type {number} */ offset) => bytes.readUInt32BE(directory + offset)
  const [flags, hashes, pages, limit] = [field(12), field(16), field(28), field(32)]
  const page = 1 << bytes[directory + 39]
  if (bytes[directory + 37] !== 2 || pages !== Math.ceil(limit / page)) return 'broken'
  for (let i = 0; i < pages; i++) {
    const content = bytes.subarray(i * page, Math.min((i + 1) * page, limit))
    const said = bytes.subarray(directory + hashes + 32 * i, directory + hashes + 32 * (i + 1))
    if (!createHash('sha256').update(content).digest().equals(said)) return 'broken'
  }
  return flags & 2 ? 'ad hoc' : 'other'
}

/** What the loader of macOS is told to bind, by the opcodes of `mach-o/loader.h`: names, and libraries by number; -2 is any that is loaded. */
function readBindings(/** @type {Buffer} */ bytes, /** @type {number} */ start, /** @type {number} */ size) {
  const bindings = new Map()
  let [at, library, name] = [start, 0, '']
  const leb = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
  }
  while (at < start + size) {
    const [opcode, low] = [bytes[at] & 0xf0, bytes[at] & 0x0f]
    at++
    if (opcode === 0x10) library = low
    else if (opcode === 0x20) library = leb()
    else if (opcode === 0x30) library = low === 0 ? 0 : low - 16
    else if (opcode === 0x40) {
      name = textAt(bytes, at)
      at += name.length + 1
    } else if ([0x60, 0x70, 0x80].includes(opcode)) leb()
    else if (opcode >= 0x90) {
      bindings.set(name, library)
      if (opcode === 0xa0) leb()
      else if (opcode === 0xc0) leb() + leb()
    }
  }
  return bindings
}

/** @returns {BinaryFile} */
function readMachO(/** @type {Buffer} */ bytes) {
  /** @type {BinaryFile} */
  const file = { libraries: [], imports: [], exports: [], signature: 'none' }
  const field = (/** @type {number} */ command, /** @type {number} */ offset) => bytes.readUInt32LE(command + offset)
  const plain = (/** @type {string} */ name) => name.replace(/^_/, '') // C's underscore
  let [symbols, binding] = [0, 0]
  for (let i = 0, at = 32; i < bytes.readUInt32LE(16); i++, at += field(at, 4)) {
    const command = bytes.readUInt32LE(at)
    const text = () => textAt(bytes, at + field(at, 8))
    if ([0xc, 0x80000018, 0x8000001f].includes(command)) file.libraries.push(text())
    else if (command === 0xd) file.installName = text()
    else if (command === 0x2) symbols = at
    else if (command === 0x80000022) binding = at
    else if (command === 0x32) file.minimum = `${bytes.readUInt16LE(at + 14)}.${bytes[at + 13]}`
    else if (command === 0x1d) file.signature = readSignature(bytes, field(at, 8))
  }
  if (symbols === 0 || binding === 0) throw new RangeError('no symbols, or none that are bound by opcodes')
  const [start, count, names] = [8, 12, 16].map((offset) => field(symbols, offset))
  for (let at = start; at < start + 16 * count; at += 16) {
    const [type, external, debugging] = [bytes[at + 4] & 0x0e, bytes[at + 4] & 1, bytes[at + 4] & 0xe0]
    if (external && !debugging && type !== 0) file.exports.push(plain(textAt(bytes, names + bytes.readUInt32LE(at))))
  }
  const bindings = new Map(
    [16, 32].flatMap((part) => [...readBindings(bytes, field(binding, part), field(binding, part + 4))]),
  )
  for (const [name, library] of bindings)
    file.imports.push(library === -2 ? plain(name) : `${file.libraries[library - 1] ?? library}:${plain(name)}`)
  return file
}

/** @returns {BinaryFile} */
function readPe(/** @type {Buffer} */ bytes) {
  const head = bytes.readUInt32LE(0x3c)
  const optional = head + 24
  const table = optional + bytes.readUInt16LE(head + 20)
  const sections = Array.from({ length: bytes.readUInt16LE(head + 6) }, (_, i) => {
    const [size, address, , start] = [8, 12, 16, 20].map((offset) => bytes.readUInt32LE(table + 40 * i + offset))
    return { size, address, start }
  })
  /** Where in the file an address of the loaded image is. */
  const place = (/** @type {number} */ address) => {
    const section = sections.find((one) => address >= one.address && address < one.address + one.size)
    if (section === undefined) throw new RangeError(`no section has the address ${address}`)
    return address - section.address + section.start
  }
  const pointer = (/** @type {number} */ at) => place(bytes.readUInt32LE(at))
  const [exported, imported] = [112, 120].map((offset) => bytes.readUInt32LE(optional + offset))
  /** @type {BinaryFile} */
  const file = { libraries: [], imports: [], exports: [] }
  for (
    let at = imported === 0 ? undefined : place(imported);
    at !== undefined && bytes.readUInt32LE(at + 12) !== 0;
    at += 20
  ) {
    const library = textAt(bytes, pointer(at + 12))
    file.libraries.push(library)
    const lookups = bytes.readUInt32LE(at) || bytes.readUInt32LE(at + 16)
    for (let one = place(lookups); bytes.readBigUInt64LE(one) !== 0n; one += 8) {
      const ordinal = bytes[one + 7] & 0x80
      file.imports.push(`${library}:${ordinal ? `#${bytes.readUInt16LE(one)}` : textAt(bytes, pointer(one) + 2)}`)
    }
  }
  if (exported !== 0) {
    const at = place(exported)
    const names = pointer(at + 32)
    for (let i = 0; i < bytes.readUInt32LE(at + 24); i++) file.exports.push(textAt(bytes, pointer(names + 4 * i)))
  }
  return file
}

/** @returns {BinaryFile} */
export function readBinaryFile(/** @type {Buffer} */ bytes) {
  const magic = bytes.readUInt32BE(0)
  if (magic === 0x7f454c46) return readElf(bytes)
  if (magic === 0xcffaedfe) return readMachO(bytes)
  if (magic >>> 16 === 0x4d5a) return readPe(bytes)
  throw new RangeError('neither ELF nor 64-bit Mach-O nor PE')
}
