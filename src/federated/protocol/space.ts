/** The layout of what a federation trains: where each factor of each adapted layer lies in the flat vector. Plain data. */

/** Factors of LoRA: lora_A [rank, in], lora_B [out, rank], both row-major. */
export type Part = 'lora_A' | 'lora_B'

export interface SpaceTensor {
  /** PEFT's: `base_model.model.<module>.lora_A.weight`. */
  readonly name: string
  readonly module: string
  readonly part: Part
  readonly shape: readonly [number, number]
  readonly offset: number
  readonly length: number
}

/** An adapted layer: ΔW [out, in] = scaling · B · A. */
export interface SpaceModule {
  readonly module: string
  readonly rank: number
  readonly scaling: number
  readonly in: number
  readonly out: number
  readonly A: SpaceTensor
  readonly B: SpaceTensor
}

export interface Space {
  /** Of the flat vector. */
  readonly length: number
  readonly tensors: readonly SpaceTensor[]
  readonly modules: readonly SpaceModule[]
}

/** Elements [begin, end) of a flat vector. */
export type Range = readonly [begin: number, end: number]

/** Ascending, disjoint ranges. */
export type Ranges = readonly Range[]

interface LayoutEntry {
  readonly name: string
  readonly shape: readonly [number, number]
  readonly offset: number
  readonly length: number
}

const moduleOf = (name: string) => name.replace(/^base_model\.model\./, '').replace(/\.lora_[AB]\.weight$/, '')

/**
 * @param layout - of the adapter: for each layer A, then B.
 * @param layers - rank and scaling of each adapted layer, by module.
 */
export function spaceOf(
  layout: readonly LayoutEntry[],
  layers: readonly { readonly module: string; readonly rank: number; readonly scaling: number }[],
): Space {
  const tensors = layout.map(({ name, shape, offset, length }): SpaceTensor => {
    const part = name.endsWith('.lora_A.weight') ? 'lora_A' : 'lora_B'
    return { name, module: moduleOf(name), part, shape, offset, length }
  })
  const scalings = new Map(layers.map(({ module, scaling }) => [module, scaling]))
  const modules: SpaceModule[] = []
  for (const A of tensors) {
    if (A.part !== 'lora_A') continue
    const B = tensors.find(({ module, part }) => part === 'lora_B' && module === A.module)!
    const [rank, inputs] = A.shape
    modules.push({ module: A.module, rank, scaling: scalings.get(A.module)!, in: inputs, out: B.shape[0], A, B })
  }
  const length = tensors.reduce((sum, tensor) => sum + tensor.length, 0)
  return { length, tensors, modules }
}

/** The ranges of the tensors that `choose` picks; neighbours are joined. */
export function rangesOf(space: Space, choose: (tensor: SpaceTensor) => boolean): Ranges {
  const ranges: [number, number][] = []
  for (const tensor of space.tensors) {
    if (!choose(tensor)) continue
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === tensor.offset) last[1] += tensor.length
    else ranges.push([tensor.offset, tensor.offset + tensor.length])
  }
  return ranges
}

/** A tensor of a vector that holds some ranges, one after the other: whole ones keep their shape, parts are one row. */
export interface TravellingTensor {
  readonly part: Part
  readonly shape: readonly [number, number]
}

/** The tensors that lie in ranges, in order. */
export function tensorsOf(space: Space, ranges: Ranges): TravellingTensor[] {
  const travelling: TravellingTensor[] = []
  for (const [begin, end] of ranges) {
    for (const { part, shape, offset, length } of space.tensors) {
      const held = Math.min(end, offset + length) - Math.max(begin, offset)
      if (held > 0) travelling.push({ part, shape: held === length ? shape : [1, held] })
    }
  }
  return travelling
}

/** The tensors, or parts of them, that elements [begin, end) of a vector of such tensors hold. */
export function tensorsWithin(tensors: readonly TravellingTensor[], [begin, end]: Range): TravellingTensor[] {
  const within: TravellingTensor[] = []
  let offset = 0
  for (const tensor of tensors) {
    const length = tensor.shape[0] * tensor.shape[1]
    const held = Math.min(end, offset + length) - Math.max(begin, offset)
    if (held > 0) within.push(held === length ? tensor : { part: tensor.part, shape: [1, held] })
    offset += length
  }
  return within
}

/** All of the vector. */
export const whole = (space: Space): Ranges => [[0, space.length]]

/** All lora_A, or all lora_B. */
export const partOf = (space: Space, part: Part): Ranges => rangesOf(space, (tensor) => tensor.part === part)

/** Elements in ranges. */
export const lengthOf = (ranges: Ranges): number => ranges.reduce((sum, [begin, end]) => sum + end - begin, 0)

/** A copy of the elements in `ranges`, one after the other. */
export function gather(values: Float32Array, ranges: Ranges): Float32Array {
  const compact = new Float32Array(lengthOf(ranges))
  let at = 0
  for (const [begin, end] of ranges) {
    compact.set(values.subarray(begin, end), at)
    at += end - begin
  }
  return compact
}

/** Writes what `gather` gave back into its place. */
export function scatter(values: Float32Array, ranges: Ranges, compact: Float32Array): void {
  let at = 0
  for (const [begin, end] of ranges) {
    values.set(compact.subarray(at, at + end - begin), begin)
    at += end - begin
  }
}

/**
 * The same adapter at other ranks: leading ranks are kept, missing ones are zero, and B takes the ratio of the scales, so that
 * ΔW = s·B·A is kept where the rank allows.
 */
export function fitRanks(values: Float32Array, from: Space, to: Space): Float32Array {
  const fitted = new Float32Array(to.length)
  for (const [index, target] of to.modules.entries()) {
    const source = from.modules[index]!
    const kept = Math.min(source.rank, target.rank)
    const rows = values.subarray(source.A.offset, source.A.offset + kept * source.in)
    fitted.set(rows, target.A.offset)
    const ratio = source.scaling / target.scaling
    for (let row = 0; row < source.out; row++) {
      const begin = source.B.offset + row * source.rank
      const place = target.B.offset + row * target.rank
      for (let r = 0; r < kept; r++) fitted[place + r] = values[begin + r]! * ratio
    }
  }
  return fitted
}
