// The object code of each instruction set holds that set's instructions, and what is compiled for the ABI floor holds none beyond it.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { checkTree, faults, routines } from '../../scripts/check-instructions.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

t.test('the objects that were built', async (t) => {
  const { problems, objects } = checkTree(join(root, 'build', 'cmake'))
  t.same(problems, [])
  t.ok(objects > 100, 'all of the engine was looked at')
})

/** A disassembly of one function with lines that repeat. */
const listing = (name: string, instruction: string, times: number) =>
  routines(`0000000000000000 <${name}>:\n${`  10:\t${instruction}\n`.repeat(times)}`)

t.test('canaries: a set compiled for the floor, and code of the floor compiled for a set', async (t) => {
  const everything = faults([], 'x86')
  t.equal(everything.length, 24, 'nothing at all is a fault in every rule')
  t.match(everything[0], /avx2.*: 0 of .*vfmadd.*, expected 30 or more/)

  /** How many rules are content with these objects. */
  const content = (objects: Parameters<typeof faults>[0]) =>
    everything.length - faults(objects, 'x86').filter((fault) => fault.includes(', expected ')).length
  const path = 'native/backend/cpu/kernels/avx512bf16/linear.cpp.o'
  const good = listing('f', 'vdpbf16ps %zmm1,%zmm2,%zmm3', 100)
  t.equal(content([{ path, code: good }]), 1, 'the rule of BF16 products is content')
  t.equal(content([{ path, code: listing('f', 'vdpbf16ps %zmm1,%zmm2,%zmm3', 99) }]), 0, 'too few')
  t.equal(content([{ path, code: listing('f', 'vdpbf16ps %ymm1,%ymm2,%ymm3', 100) }]), 0, 'half as wide')
  t.equal(content([{ path, code: listing('f', 'mulps %xmm1,%xmm2', 100) }]), 0, 'baseline code')
  t.equal(content([{ path: 'native/backend/cpu/gemm.cpp.o', code: good }]), 0, 'another object')

  const codec = '_ZN7fedlora12codec_avx512L8quantizeEPKf'
  const wide = listing(codec, 'vaddps %zmm1,%zmm2,%zmm3', 250)
  t.equal(content([{ path: 'native/compression/kernels.cpp.o', code: wide }]), 1, 'a table of several in one object')
  const narrow = listing(codec, 'addps %xmm1,%xmm2', 800)
  t.equal(content([{ path: 'native/compression/kernels.cpp.o', code: narrow }]), 0)

  const leak = listing('_ZN7fedlora5to_f32E4bf16', 'vpslld $0x10,%ymm0,%ymm0', 1)
  t.match(
    faults([{ path: 'native/quant/int8.cpp.o', code: leak }], 'x86').at(-1),
    /to_f32.* is beyond the ABI floor: .*ymm0/,
  )
  const halves = listing('_ZN7fedlora10codec_avx2L10dequantizeEPKa', 'vextracti128 $0x1,%ymm0,0x10(%rdx,%rax,4)', 3)
  t.match(
    faults([{ path: 'native/compression/kernels.cpp.o', code: halves }], 'x86').at(-1),
    /kernels.cpp.o: 3 vectors are stored in halves/,
  )
  const bf16 = listing('f', 'bfdot v0.4s, v1.8h, v2.8h', 1)
  t.match(faults([{ path: 'native/quant/int8.cpp.o', code: bf16 }], 'arm64').at(-1), /beyond the ABI floor: .*bfdot/)
})
