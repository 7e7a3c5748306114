/** What the compiler of kernels says, read as check-cuda.mjs reads it. */
import t from 'tap'
import { kernelTable, readPtxas, shortName, withoutHgmma } from '../../scripts/lib/ptxas-report.mjs'

const log = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4goodPf' for 'sm_80'
ptxas info    : Function properties for _Z4goodPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 1 barriers, 128 bytes smem, 360 bytes cmem[0]
ptxas info    : Compiling entry function '_Z3badPf' for 'sm_90a'
ptxas info    : Function properties for _Z3badPf
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to x in function '_Z3badPf'
`

t.test('registers, spills, shared memory, messages', async (t) => {
  const { kernels, messages } = readPtxas(log)
  t.same(kernels, [
    { kernel: '_Z4goodPf', architecture: '80', registers: 10, spilled: 0, stack: 0, shared: 128 },
    { kernel: '_Z3badPf', architecture: '90a', registers: 255, spilled: 20, stack: 16, shared: 0 },
  ])
  t.match(messages, [/C7510/])
  t.equal(messages.length, 1)
  t.equal(
    kernelTable(kernels).split('\n').slice(2).join('\n'),
    '| `_Z3badPf` | – | 255 | 20 | 16 | 0 |\n| `_Z4goodPf` | 10 | – | 0 | 0 | 128 |',
  )
})

t.test('names as a person writes them', async (t) => {
  t.equal(shortName('void fedlora::cuda::gemm_sm80<128, (fedlora::cuda::Way)1>(int, float*)'), 'gemm_sm80<128, (Way)1>')
  t.equal(shortName('void fedlora::cuda::(anonymous namespace)::rope(float*, void (*)(int))'), 'rope')
  t.equal(shortName('_Z4goodPf'), '_Z4goodPf')
})

t.test('kernels without the instruction of Hopper’s tensor cores', async (t) => {
  const sass =
    '\t\tFunction : _Zwith\n  /*0000*/ HGMMA.64x256x16.F32.BF16 R24 ;\n\t\tFunction : _Zwithout\n  /*0000*/ HMMA ;\n'
  t.same(withoutHgmma(sass), ['_Zwithout'])
})
