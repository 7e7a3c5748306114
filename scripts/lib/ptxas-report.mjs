// What nvcc says with -Xptxas -v, as a table of kernels: one row a kernel and architecture.

/**
 * @typedef {{ kernel: string, architecture: string, registers: number, spilled: number, stack: number, shared: number }} Kernel
 */

/** The kernels of a log, by their mangled names, and its messages C75xx (what ptxas could not do with wgmma). */
export function readPtxas(/** @type {string} */ log) {
  /** @type {Kernel[]} */
  const kernels = []
  /** @type {string[]} */
  const messages = []
  for (const line of log.split('\n')) {
    if (/\(C75\d\d\)/.test(line)) messages.push(line.trim())
    const entry = /Compiling entry function '(\S+)' for 'sm_(\w+)'/.exec(line)
    if (entry) kernels.push({ kernel: entry[1], architecture: entry[2], registers: 0, spilled: 0, stack: 0, shared: 0 })
    const kernel = kernels.at(-1)
    if (kernel === undefined) continue
    const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (stack) {
      kernel.stack = Number(stack[1])
      kernel.spilled = Number(stack[2]) + Number(stack[3])
    }
    const used = /Used (\d+) registers/.exec(line)
    if (used) {
      kernel.registers = Number(used[1])
      kernel.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
    }
  }
  return { kernels, messages }
}

/** A demangled name without its parameters, its return type and our namespace: `gemm_sm80<128, 256>`. */
export function shortName(/** @type {string} */ demangled) {
  let depth = 0
  let end = demangled.length
  // The parameters begin at the last parenthesis that opens outside of template arguments.
  for (let i = demangled.length - 1; i >= 0; i--) {
    const character = demangled[i]
    if (character === ')' || character === '>') depth++
    if (character === '(' || character === '<') depth--
    if (character === '(' && depth === 0) {
      end = i
      break
    }
  }
  return demangled
    .slice(0, end)
    .replace(/^(void|float|int) /, '')
    .replaceAll('fedlora::cuda::', '')
    .replaceAll('(anonymous namespace)::', '')
}

/** Names of the kernels whose machine code, as cuobjdump -sass prints it, holds no HGMMA. */
export function withoutHgmma(/** @type {string} */ sass) {
  return sass
    .split(/^\s*Function : /m)
    .slice(1)
    .filter((body) => !/\bHGMMA\b/.test(body))
    .map((body) => body.split('\n', 1)[0].trim())
}

/** The table, kernels in order of their names, one column of registers an architecture. */
export function kernelTable(/** @type {Kernel[]} */ kernels) {
  const architectures = [...new Set(kernels.map(({ architecture }) => architecture))].sort()
  const names = [...new Set(kernels.map(({ kernel }) => kernel))].sort()
  const rows = names.map((name) => {
    const own = kernels.filter(({ kernel }) => kernel === name)
    const registers = architectures.map((one) => own.find(({ architecture }) => architecture === one)?.registers ?? '–')
    const most = (/** @type {'spilled' | 'stack' | 'shared'} */ field) =>
      Math.max(...own.map((kernel) => kernel[field]))
    return [`\`${name}\``, ...registers, most('spilled'), most('stack'), most('shared')]
  })
  const head = ['kernel', ...architectures.map((one) => `sm_${one}`), 'spilled', 'stack', 'static shared']
  return [head, head.map((_, i) => (i === 0 ? '---' : '--:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n')
}
