/** What a binary is made for, read from its bytes: the addon of this checkout, altered copies of it, heads of other systems' files. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { olderThan, parseBinary, readBinary } from '../../src/native/binary.js'
import { packageRoot } from '../../src/native/load.js'
import { elfOf, headOf } from '../support/binaries.js'

const addon = readFileSync(join(packageRoot(), 'build', 'Release', 'fedlora.node'))

t.test('the addon that a compiler made here', async (t) => {
  const read = parseBinary(addon)
  t.match(read, { platform: process.platform, archs: [process.arch] })
  t.match(parseBinary(readFileSync(process.execPath)), { platform: process.platform, archs: [process.arch] }, 'Node')
  if (process.platform !== 'linux') return
  t.equal(read?.libc, 'glibc')
  const asked = [...addon.toString('latin1').matchAll(/GLIBC_(2\.\d+)\0/g)].map((found) => found[1]!)
  const newest = asked.reduce((a, b) => (olderThan(a, b) ? b : a))
  t.equal(read?.glibcFloor, newest, `the newest of ${asked.length} names of versions`)
})

t.test('an ELF file says system, processor, C library and what it asks of it', async (t) => {
  t.same(parseBinary(elfOf({ machine: 183, libraries: ['libm.so.6', 'libc.so.6'], versions: ['2.17', '2.4'] })), {
    format: 'ELF',
    platform: 'linux',
    archs: ['arm64'],
    libc: 'glibc',
    glibcFloor: '2.17',
  })
  const musl = elfOf({ machine: 62, libraries: ['libc.so'], versions: [] })
  t.match(parseBinary(musl), { archs: ['x64'], libc: 'musl', glibcFloor: null })
  t.match(parseBinary(elfOf({ machine: 62, libraries: ['libc.musl-x86_64.so.1'], versions: [] })), { libc: 'musl' })
  t.match(parseBinary(elfOf({ machine: 62, libraries: ['libm.so.6'], versions: [] })), { libc: null })
  t.match(parseBinary(elfOf({ machine: 999, libraries: [], versions: [] })), { archs: ['machine 0x3e7'] })
})

t.test('Mach-O, universal Mach-O and PE', async (t) => {
  t.match(parseBinary(headOf.machO(0x0100000c)), { format: 'Mach-O', platform: 'darwin', archs: ['arm64'], libc: null })
  t.match(parseBinary(headOf.machO(0x01000007)), { archs: ['x64'] })
  t.match(parseBinary(headOf.universal([0x01000007, 0x0100000c])), { platform: 'darwin', archs: ['x64', 'arm64'] })
  t.match(parseBinary(headOf.pe(0x8664)), { format: 'PE', platform: 'win32', archs: ['x64'] })
  t.match(parseBinary(headOf.pe(0xaa64)), { archs: ['arm64'] })
})

t.test('what is no binary, and binaries that end too early', async (t) => {
  const pointer = Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\n')
  for (const bytes of [Buffer.alloc(0), Buffer.from('MZ'), Buffer.from('<html>'), pointer, Buffer.alloc(100)])
    t.equal(parseBinary(bytes), undefined, JSON.stringify(bytes.toString('latin1', 0, 10)))
  const java = Buffer.from('cafebabe00000041', 'hex')
  t.equal(parseBinary(java), undefined, 'a Java class begins like a universal Mach-O file')
  t.equal(parseBinary(headOf.pe(0x8664).subarray(0, 0x82)), undefined)
  t.equal(parseBinary(headOf.universal([0x01000007]).subarray(0, 9)), undefined)
  const whole = elfOf({ machine: 62, libraries: ['libc.so.6'], versions: ['2.17'] })
  const read = Array.from(whole, (_, length) => parseBinary(whole.subarray(0, length)))
  t.ok(
    read.every((one) => one === undefined),
    'an ELF file cut off anywhere',
  )
  t.equal(parseBinary(addon.subarray(0, addon.length >> 1)), undefined, 'half the addon')
})

t.test('a file is read as its bytes are, in parts', async (t) => {
  const here = join(packageRoot(), 'build', 'Release', 'fedlora.node')
  t.same(readBinary(here), parseBinary(addon))
  const wholes = {
    elf: elfOf({ machine: 62, libraries: ['libc.so.6'], versions: ['2.17'] }),
    mac: headOf.universal([0x01000007, 0x0100000c]),
    windows: headOf.pe(0x8664),
    text: Buffer.from('text'),
    nothing: Buffer.alloc(0),
  }
  const folder = t.testdir(wholes)
  for (const [name, bytes] of Object.entries(wholes)) t.same(readBinary(join(folder, name)), parseBinary(bytes), name)
  const cut = t.testdir({ half: addon.subarray(0, addon.length >> 1), little: addon.subarray(0, addon.length - 8) })
  t.equal(readBinary(join(cut, 'half')), undefined)
  t.equal(readBinary(join(cut, 'little')), undefined, 'eight bytes of the section table, which is last')
  t.throws(() => readBinary(join(folder, 'missing')), { code: 'ENOENT' })
})

t.test('versions are numbers, not texts', async (t) => {
  t.ok(olderThan('2.4', '2.17'))
  t.notOk(olderThan('2.17', '2.4'))
  t.notOk(olderThan('2.17', '2.17'))
  t.ok(olderThan('2.17', '2.17.1'))
  t.notOk(olderThan('2.17.1', '2.17'))
  t.ok(olderThan('2.17', '3.4'))
})
