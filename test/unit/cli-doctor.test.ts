// The advice of `fedlora doctor`, of processors that this one is not.
import t from 'tap'
import { advise } from '../../src/cli/commands/doctor.js'

const x86 = [
  { isa: 'scalar', needs: 'any x86-64-v2 processor' },
  { isa: 'avx2', needs: 'AVX2, FMA and F16C' },
  { isa: 'avx512bf16', needs: 'AVX-512 F, BW, VL, DQ and BF16' },
]
const arm64 = [
  { isa: 'scalar', needs: 'any arm64 processor' },
  { isa: 'neon', needs: 'NEON' },
  { isa: 'neonbf16', needs: "NEON's BF16 dot products" },
]
const kernels = (isa: string) => [{ kernel: 'gemm_f32', isa }]

t.test('what is faster follows the architecture', async (t) => {
  t.same(advise({ levels: arm64, isa: 'neon', detectedIsa: 'neon', kernels: kernels('neon') }), [
    { what: 'the neonbf16 kernels', why: "this processor lacks some of NEON's BF16 dot products" },
  ])
  t.same(advise({ levels: x86, isa: 'scalar', detectedIsa: 'avx2', kernels: kernels('scalar') }), [
    { what: 'the avx2 kernels', why: 'this machine has them, but FEDLORA_ISA caps the engine below; unset it' },
    { what: 'the avx512bf16 kernels', why: 'this processor lacks some of AVX-512 F, BW, VL, DQ and BF16' },
  ])
  t.same(advise({ levels: x86, isa: 'avx512bf16', detectedIsa: 'avx512bf16', kernels: kernels('avx512bf16') }), [])
})

t.test('kernels of a weaker set are named', async (t) => {
  const advice = advise({ levels: arm64, isa: 'neonbf16', detectedIsa: 'neonbf16', kernels: kernels('neon') })
  t.match(advice, [{ what: 'neonbf16 versions of 1 kernels', why: /gemm_f32 \(neon\)/ }])
})
