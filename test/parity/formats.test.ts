/** Encoded bytes of random weights beside those of bitsandbytes: equal, nested offsets too. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { native } from '../../src/native/load.js'
import { parity, runPython, scratch, seed, Tensors } from '../support/parity.js'

t.setTimeout(3_600_000)

const quantizations = ['nf4', 'fp4'] as const

async function encode(modules: string[], options: object, name: string): Promise<Tensors> {
  const output = join(scratch, name)
  const request = { files: [join(scratch, 'weights.safetensors')], output, modules, threads: 2 }
  await native().quantizeCheckpoint({
    ...request,
    quantization: 'int8',
    doubleQuantization: false,
    blockSize: 64,
    ...options,
  })
  return new Tensors(output)
}

parity('bytes of nf4, fp4 and int8 on random shapes', async (t) => {
  await runPython('make_formats.py', scratch, seed)
  const want = new Tensors(join(scratch, 'encoded.safetensors'))
  const modules = new Tensors(join(scratch, 'weights.safetensors')).names().map((name) => name.replace('.weight', ''))
  for (const quantization of quantizations) {
    for (const blockSize of [64, 128]) {
      const flat = await encode(modules, { quantization, blockSize }, 'flat')
      const nested = await encode(modules, { quantization, blockSize, doubleQuantization: true }, 'nested')
      for (const module of modules) {
        const key = `${module}.${quantization}.${blockSize}`
        const weight = `${module}.weight`
        const same = (what: string, ours: Buffer, theirs: string) =>
          ours.equals(want.raw(theirs).bytes) || t.fail(`${key}: ${what} differ`)
        same('codes', flat.raw(weight).bytes, `${key}.packed`)
        same('codes, nested', nested.raw(weight).bytes, `${key}.packed`)
        same('scales', flat.raw(`${weight}.absmax`).bytes, `${key}.absmax`)
        const state = JSON.parse(nested.raw(`${weight}.quant_state.bitsandbytes__${quantization}`).bytes.toString())
        const offset = want.f32(`${key}.nested.offset`)[0]!
        t.equal(Math.fround(state.nested_offset), offset, `${key}: the nested offset`)
        same('nested scales', nested.raw(`${weight}.nested_absmax`).bytes, `${key}.nested.scale`)
        same('nested codes', nested.raw(`${weight}.absmax`).bytes, `${key}.nested.absmax`)
      }
    }
  }
  const eight = await encode(modules, {}, 'eight')
  for (const module of modules) {
    if (!eight.raw(`${module}.weight`).bytes.equals(want.raw(`${module}.int8.codes`).bytes))
      t.fail(`${module}: int8 codes`)
    if (!eight.raw(`${module}.SCB`).bytes.equals(want.raw(`${module}.int8.scale`).bytes))
      t.fail(`${module}: int8 scales`)
  }
  t.ok(
    modules.length > 30,
    `${modules.length} weights in 2 formats × 2 blocks × flat and nested, and int8: equal bytes`,
  )
  const wrong = await encode(modules, { quantization: 'nf4', blockSize: 128 }, 'wrong')
  t.notOk(
    modules.every((module) => wrong.raw(`${module}.weight`).bytes.equals(want.raw(`${module}.nf4.64.packed`).bytes)),
    'canary: another block size',
  )
  rmSync(scratch, { recursive: true })
})
