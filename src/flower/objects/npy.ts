/**
 * NumPy's file format, version 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): `\x93NUMPY`, version, length of
 * the header, a Python dict padded with spaces to a multiple of 64 bytes, the values in little-endian C order.
 */
import { FedloraError } from '../../errors.js'

type Values = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array

/** An array as NumPy has it: values in C order. float32 is what adapters have; others are carried for a `work` of one's own. */
export interface FlowerArray {
  shape: readonly number[]
  data: Values
}

/** dtype → its spelling in the header, and what holds it. */
const kinds = {
  float32: { descr: '<f4', of: Float32Array },
  float64: { descr: '<f8', of: Float64Array },
  int32: { descr: '<i4', of: Int32Array },
  int64: { descr: '<i8', of: BigInt64Array },
  uint8: { descr: '|u1', of: Uint8Array },
} as const

export type Dtype = keyof typeof kinds

const magic = Buffer.from('\x93NUMPY\x01\x00', 'latin1')
const header =
  /^\{\s*'descr':\s*'([^']{1,16})',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(((?:\s*\d{1,15},)*(?:\s*\d{1,15})?)\s*\),?\s*\}\s*\n$/

/** The dtype of an array's values, undefined for values that have none here. */
export function dtypeOf(data: unknown): Dtype | undefined {
  return (Object.keys(kinds) as Dtype[]).find((name) => Object.getPrototypeOf(data ?? 0) === kinds[name].of.prototype)
}

function product(shape: readonly number[]): number {
  return shape.reduce((size, extent) => size * extent, 1)
}

/**
 * The bytes that `numpy.save` writes for the array.
 * @throws FedloraError `E_DTYPE`, `E_SHAPE` naming the array.
 */
export function writeNpy(name: string, { shape, data }: FlowerArray): Uint8Array {
  const dtype = dtypeOf(data)
  if (dtype === undefined) {
    const message = `flower: array '${name}': its data is none of ${Object.keys(kinds).join(', ')}`
    throw new FedloraError('E_DTYPE', message, { array: name })
  }
  const whole = Array.isArray(shape) && shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)
  if (!whole || product(shape) !== data.length) {
    const message = `flower: array '${name}': ${data.length} values do not fill the shape [${shape}]`
    throw new FedloraError('E_SHAPE', message, { array: name, shape })
  }
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  // NumPy leaves room for the first extent to grow to 21 digits.
  const room = shape.length === 0 ? '' : ' '.repeat(21 - String(shape[0]).length)
  const dict = `{'descr': '${kinds[dtype].descr}', 'fortran_order': False, 'shape': ${tuple}, }${room}`
  const padded = dict.padEnd(Math.ceil((dict.length + 11) / 64) * 64 - 11)
  const length = Buffer.alloc(2)
  length.writeUInt16LE(padded.length + 1)
  const values = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return Buffer.concat([magic, length, Buffer.from(`${padded}\n`, 'latin1'), values])
}

/**
 * The array in the bytes of a file; its values are a copy.
 * @throws FedloraError `E_FORMAT` for bytes that are no such file, `E_DTYPE`, `E_UNSUPPORTED` for an order other than C, naming the array.
 */
export function readNpy(name: string, file: Uint8Array): FlowerArray {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const fail = (why: string): never => {
    throw new FedloraError('E_FORMAT', `flower: array '${name}' is no .npy file: ${why}`, { array: name })
  }
  if (bytes.length < 10 || !bytes.subarray(0, 8).equals(magic)) fail('it does not begin as version 1.0 does')
  const end = 10 + bytes.readUInt16LE(8)
  const found = header.exec(bytes.subarray(10, end).toString('latin1'))
  if (end > bytes.length || found === null) return fail('its header is none')
  const [, descr, order, extents] = found
  const shape = extents!
    .split(',')
    .filter((extent) => extent.trim() !== '')
    .map(Number)
  const dtype = (Object.keys(kinds) as Dtype[]).find((one) => kinds[one].descr === descr)
  if (dtype === undefined) {
    const message = `flower: array '${name}' has dtype ${descr}, expected ${Object.values(kinds)
      .map((kind) => kind.descr)
      .join(', ')}; send float32`
    throw new FedloraError('E_DTYPE', message, { array: name, got: descr })
  }
  if (order === 'True' && shape.filter((extent) => extent > 1).length > 1) {
    const message = `flower: array '${name}' lies in Fortran order; send numpy.ascontiguousarray of it`
    throw new FedloraError('E_UNSUPPORTED', message, { array: name })
  }
  const { of } = kinds[dtype]
  const size = product(shape) * of.BYTES_PER_ELEMENT
  if (size !== bytes.length - end) fail(`${bytes.length - end} bytes of values, expected ${size} for [${shape}]`)
  // A copy that begins where a typed array may.
  const copy = new Uint8Array(bytes.subarray(end))
  return { shape, data: new of(copy.buffer) }
}
