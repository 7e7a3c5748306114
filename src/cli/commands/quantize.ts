/** `fedlora quantize`: writes a checkpoint that transformers and bitsandbytes load. */
import { quantizeModel, quantizeOptionsSchema } from '../../model/quantize.js'
import { type Command, section, text } from '../command.js'
import { formatBytes, shownPath } from '../output.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'

const optionFlags = schemaFlags(quantizeOptionsSchema)

export const quantize: Command = {
  name: 'quantize',
  flags: {
    model: { type: 'string', value: 'DIR', description: 'unquantised model folder', required: true },
    output: { type: 'string', value: 'DIR', description: 'folder to write', required: true },
    ...optionFlags,
  },
  async run({ flags, output }) {
    const options = section(quantizeOptionsSchema, 'quantize', {}, schemaValues(quantizeOptionsSchema, flags))
    const started = performance.now()
    const result = await quantizeModel(text(flags, 'model')!, text(flags, 'output')!, options)
    const seconds = (performance.now() - started) / 1000
    output.text(
      `${result.quantized} linear layers as ${options.quantization}: ${formatBytes(result.bytesBefore)} → ${formatBytes(result.bytesAfter)} in ${seconds.toFixed(1)} s`,
    )
    output.text(`written to ${shownPath(result.folder)}`)
    return { ...result, seconds }
  },
}
