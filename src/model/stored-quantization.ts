/** `quantization_config` of a Hugging Face folder: how its weights are packed, or why they cannot be read. */
import { FedloraError } from '../errors.js'
import type { PackedWeights } from '../native/binding.js'
import type { Fields } from './fields.js'

/** How the stored weights are quantised. */
export type StoredQuantization =
  | {
      /** Codes of bitsandbytes, which are held as they are stored. */
      method: 'bitsandbytes'
      format: 'nf4' | 'fp4' | 'int8'
      doubleQuantization: boolean
    }
  | {
      /** Weights packed by others: they are decoded while they are read, exactly, and held in the format that is asked for. */
      method: 'gptq' | 'awq' | 'fp8'
      /** As `method`, but for GPTQ's second checkpoint format, which stores zero points as they are. */
      format: 'gptq' | 'gptq_v2' | 'awq' | 'fp8'
      /** FP8: rows and columns of the block that shares a scale. */
      block?: [rows: number, columns: number]
    }

const cure = 'Start from the unquantised checkpoint: loadModel quantises while it loads'

function refuse(fields: Fields, field: string, got: unknown, what: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${fields.where}: ${what}. ${cure}`, { field: fields.prefix + field, got })
}

/** Four bits, whatever the field is called. */
function checkFourBits(fields: Fields, names: readonly string[], method: string): void {
  const name = names.find((name) => fields.has(name)) ?? names[0]!
  const bits = fields.integer(name)
  if (bits !== 4) refuse(fields, name, bits, `weights of ${bits} bits by '${method}' are not read, only of 4`)
}

function bitsandbytes(fields: Fields, four: boolean, eight: boolean): StoredQuantization {
  const method = 'bitsandbytes'
  if (four === eight) fields.fail('load_in_4bit', 'exactly one of load_in_4bit and load_in_8bit')
  if (eight) return { method, format: 'int8', doubleQuantization: false }
  const format = fields.string('bnb_4bit_quant_type', 'fp4')
  if (format !== 'nf4' && format !== 'fp4') return fields.fail('bnb_4bit_quant_type', "'nf4' or 'fp4'")
  const storage = fields.string('bnb_4bit_quant_storage', 'uint8')
  if (storage !== 'uint8') {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${fields.where}: bnb_4bit_quant_storage '${storage}' is not supported, only 'uint8'`,
      { field: 'quantization_config.bnb_4bit_quant_storage' },
    )
  }
  return { method, format, doubleQuantization: fields.boolean('bnb_4bit_use_double_quant', false) }
}

function gptq(fields: Fields): StoredQuantization {
  checkFourBits(fields, ['bits'], 'gptq')
  const format = fields.string('checkpoint_format', 'gptq')
  if (format !== 'gptq' && format !== 'gptq_v2') {
    refuse(
      fields,
      'checkpoint_format',
      format,
      `GPTQ weights in the layout '${format}' are not read, only 'gptq' and 'gptq_v2'`,
    )
  }
  const dynamic = fields.object('dynamic')
  if (dynamic !== undefined && Object.keys(dynamic.values).length > 0) {
    refuse(fields, 'dynamic', dynamic.values, 'GPTQ weights whose layers differ (dynamic) are not read')
  }
  return { method: 'gptq', format }
}

function awq(fields: Fields): StoredQuantization {
  checkFourBits(fields, ['bits', 'w_bit'], 'awq')
  const version = fields.string('version', 'gemm')
  if (version.toLowerCase() !== 'gemm') {
    refuse(fields, 'version', version, `AWQ weights in the layout '${version}' are not read, only 'gemm'`)
  }
  return { method: 'awq', format: 'awq' }
}

function fp8(fields: Fields): StoredQuantization {
  const kind = fields.string('fmt', 'e4m3')
  if (kind !== 'e4m3') refuse(fields, 'fmt', kind, `FP8 weights of the kind '${kind}' are not read, only 'e4m3'`)
  const block = fields.values.weight_block_size ?? [128, 128]
  const isSize = (value: unknown) => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 2 ** 20
  if (!Array.isArray(block) || block.length !== 2 || !block.every(isSize)) {
    return fields.fail('weight_block_size', 'two whole numbers, rows and columns')
  }
  return { method: 'fp8', format: 'fp8', block: block as [number, number] }
}

/** @throws FedloraError `E_CONFIG` naming the field; `E_UNSUPPORTED` for a method or layout that is not read. */
export function readQuantization(config: Fields): StoredQuantization | undefined {
  const fields = config.object('quantization_config') ?? config.object('compression_config')
  if (fields === undefined) return undefined
  const four = fields.boolean('load_in_4bit', false)
  const eight = fields.boolean('load_in_8bit', false)
  const method = fields.string('quant_method', four || eight ? 'bitsandbytes' : undefined)
  switch (method) {
    case 'bitsandbytes':
      return bitsandbytes(fields, four, eight)
    case 'gptq':
      return gptq(fields)
    case 'awq':
      return awq(fields)
    case 'fp8':
      return fp8(fields)
    default:
      return refuse(
        fields,
        'quant_method',
        method,
        `weights quantised by '${method}' are not read; supported are bitsandbytes' nf4, fp4 and int8, GPTQ and AWQ of 4 bits, FP8, and unquantised weights`,
      )
  }
}

/** How the engine is to read the weights, where others than bitsandbytes packed them. */
export function packedWeights({ storedQuantization: stored }: { storedQuantization?: StoredQuantization }): {
  packed?: PackedWeights
} {
  if (stored === undefined || stored.method === 'bitsandbytes') return {}
  return { packed: { format: stored.format, ...(stored.block && { block: stored.block }) } }
}
