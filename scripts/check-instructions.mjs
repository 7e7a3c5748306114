#!/usr/bin/env node
// Whether the object code of each instruction set holds that set's instructions, and all other code none beyond the ABI floor: a target region
// that a compiler passed over is right in every test and slow on every machine.
//
// Usage: node scripts/check-instructions.mjs [--tree build/cmake] [--objdump PROGRAM]
// Reads the objects of a CMake tree of any x86-64 or arm64 system; status 1 and a line for each fault.
import { closeSync, openSync, readSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { listFiles, root, run, runMain, ScriptError } from './lib/project.mjs'

/**
 * @typedef {object} Rule
 * @property {RegExp} of objects, by the path of their source, or functions, by their mangled names
 * @property {RegExp} holds an instruction
 * @property {number} least of them: about a quarter of what GCC and clang make, which unroll as they please
 */

/** What code of a set must hold. A file with a table for each set has a namespace for each. */
const rules = {
  /**
   * `halved`: the upper half of a vector is stored alone. A compiler that takes the processors of the ABI floor for those to be fast on
   * cuts every access to memory of 32 bytes in two, as Sandy Bridge wanted it.
   * @type {{ files: Rule[], functions: Rule[], beyond: RegExp, free: RegExp, halved: RegExp | undefined }}
   */
  x86: {
    files: [
      { of: /kernels\/avx2\/linear/, holds: /\bvfmadd\w+ .*ymm/, least: 30 },
      { of: /kernels\/avx2\/rows/, holds: /\bvfmadd\w+ .*ymm/, least: 300 },
      { of: /kernels\/avx512bf16\/linear/, holds: /\bvdpbf16ps .*zmm/, least: 100 },
      { of: /kernels\/avx512bf16\/linear/, holds: /\bvfmadd\w+ .*zmm/, least: 60 },
      { of: /kernels\/avx512bf16\/rows/, holds: /\bvdpbf16ps .*zmm/, least: 100 },
      { of: /kernels\/avx512bf16\/rows/, holds: /\bvfmadd\w+ .*zmm/, least: 400 },
      { of: /masking\/kernels_avx2/, holds: /\bvp(add|xor)d .*ymm/, least: 30 },
      { of: /masking\/kernels_avx512/, holds: /\bvp(add|xor|ternlog|ro[lr])d .*zmm/, least: 70 },
      { of: /factors\/kernels_avx2/, holds: /\bvfmadd\w+pd .*ymm/, least: 8 },
      { of: /factors\/kernels_avx512/, holds: /\bvfmadd\w+pd .*zmm/, least: 14 },
      { of: /aggregation\/together_avx512/, holds: /\bvpmadd52luq .*zmm/, least: 70 },
      { of: /compression\/checksum_avx512/, holds: /\bvpclmul\w+ .*zmm/, least: 4 },
      { of: /compression\/masks_avx512/, holds: /\bvp(cmp|movd2m)\w* .*[yz]mm/, least: 4 },
      { of: /compression\/philox_avx512/, holds: /\bvpmuludq .*zmm/, least: 10 },
    ],
    functions: Object.entries({ codec: 250, sum: 25, vectors: 170, order: 6, pairs: 13 }).flatMap(([table, least]) => [
      { of: new RegExp(`\\d${table}_avx2`), holds: /\bv\w+ .*ymm/, least },
      { of: new RegExp(`\\d${table}_avx512`), holds: /\bv\w+ .*zmm/, least },
    ]),
    beyond: /\b[yz]mm\d/,
    free: /kernels\/avx(2|512bf16)\/|_avx(2|512)\.cpp/,
    halved: /\bvextract[fi]128 \$0x1,%ymm\d+,.*\(/,
  },
  arm64: {
    files: [
      { of: /kernels\/neon\/linear/, holds: /\bfmla\b.*v\d+\.4s|\bfmla\.4s/, least: 50 },
      { of: /kernels\/neon\/rows/, holds: /\bfmla\b.*v\d+\.4s|\bfmla\.4s/, least: 300 },
      { of: /kernels\/neonbf16\/linear/, holds: /\bbfdot\b/, least: 75 },
    ],
    functions: [],
    beyond: /\bbf(dot|mmla|mlal[bt]|cvtn?2?)\b/,
    free: /kernels\/neonbf16\//,
    halved: undefined,
  },
}
/** Functions of a set in an object that has those of several. */
const ofASet = /(codec|sum|vectors|order|pairs)_avx(2|512)/

/** @typedef {{ name: string, lines: string[] }} Routine */

/** The functions of a disassembly. @param {string} listing @returns {Routine[]} */
export function routines(listing) {
  /** @type {Routine[]} */
  const found = []
  for (const line of listing.split('\n')) {
    const [, name] = /^[0-9a-f]+ <(.+)>:$/.exec(line) ?? []
    if (name !== undefined) found.push({ name, lines: [] })
    else found.at(-1)?.lines.push(line)
  }
  return found
}

const count = (/** @type {Routine[]} */ code, /** @type {RegExp} */ instruction) =>
  code.reduce((sum, { lines }) => sum + lines.filter((line) => instruction.test(line)).length, 0)

/**
 * The faults of a tree's objects, a line each.
 * @param {{ path: string, code: Routine[] }[]} objects @param {keyof typeof rules} machine
 */
export function faults(objects, machine) {
  const { files, functions, beyond, free, halved } = rules[machine]
  /** @type {string[]} */
  const problems = []
  const demand = (/** @type {Rule} */ rule, /** @type {string} */ what, /** @type {Routine[]} */ code) => {
    const n = count(code, rule.holds)
    if (!(n >= rule.least)) problems.push(`${what}: ${n} of ${rule.holds.source}, expected ${rule.least} or more`)
  }
  for (const rule of files) {
    const there = objects.filter(({ path }) => rule.of.test(path))
    demand(
      rule,
      `objects of ${rule.of.source}`,
      there.flatMap(({ code }) => code),
    )
  }
  for (const rule of functions) {
    const code = objects.flatMap((object) => object.code).filter(({ name }) => rule.of.test(name))
    demand(rule, `functions of ${rule.of.source}`, code)
  }
  for (const { path, code } of objects.filter((object) => !free.test(object.path))) {
    for (const { name, lines } of code.filter((routine) => !ofASet.test(routine.name))) {
      const line = lines.find((text) => beyond.test(text))
      if (line !== undefined) problems.push(`${path}: ${name} is beyond the ABI floor: ${line.trim()}`)
    }
  }
  for (const { path, code } of objects) {
    const halves = halved === undefined ? 0 : count(code, halved)
    if (halves > 0) problems.push(`${path}: ${halves} vectors are stored in halves`)
  }
  return problems
}

/** Of an ELF, Mach-O or COFF object. @param {string} file @returns {keyof typeof rules | undefined} */
function machineOf(file) {
  const head = Buffer.alloc(20)
  const descriptor = openSync(file, 'r')
  readSync(descriptor, head, 0, 20, 0)
  closeSync(descriptor)
  const elf = head.readUInt32BE(0) === 0x7f454c46
  const mach = head.readUInt32LE(0) === 0xfeedfacf
  const number = elf ? head.readUInt16LE(18) : mach ? head.readUInt32LE(4) : head.readUInt16LE(0)
  if ([0x3e, 0x01000007, 0x8664].includes(number)) return 'x86'
  return [0xb7, 0x0100000c, 0xaa64].includes(number) ? 'arm64' : undefined
}

/** The faults of the engine's objects in a CMake tree. Throws E_MISSING where there are none. */
export function checkTree(tree, objdump = 'objdump') {
  const paths = listFiles('CMakeFiles', /\.cpp\.(o|obj)$/, tree).filter((path) => /\/room_\w+\.dir\//.test(path))
  const machine = paths.length > 0 ? machineOf(join(tree, paths[0])) : undefined
  if (machine === undefined) throw new ScriptError('E_MISSING', `no objects of the engine in ${tree}: build it first`)
  const objects = paths.map((path) => ({
    path,
    code: routines(run(objdump, ['-d', '--no-show-raw-insn', join(tree, path)], { capture: true })),
  }))
  return { machine, objects: objects.length, problems: faults(objects, machine) }
}

await runMain(import.meta, 'check-instructions', () => {
  const { values } = parseArgs({
    options: {
      tree: { type: 'string', default: join(root, 'build', 'cmake') },
      objdump: { type: 'string', default: 'objdump' },
    },
  })
  const { machine, objects, problems } = checkTree(resolve(values.tree), values.objdump)
  if (problems.length > 0) throw new ScriptError('E_CHECK', `${problems.length} faults:\n  ${problems.join('\n  ')}`)
  console.log(`instructions: ${objects} objects of ${machine} hold those of their set and no others`)
})
