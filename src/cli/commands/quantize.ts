/** `fedlora quantize`: writes a checkpoint that transformers and bitsandbytes load. */

import { formatBytes } from '../../errors/describe.js'
import { quantizeModel, quantizeOptionsSchema } from '../../model/quantize.js'
import { type Command, section, text } from '../command.js'
import { openOutput } from '../open-model.js'
import { schemaFlags, schemaValues } from '../schema-flags.js'
import { shownPath } from '../words.js'

const optionFlags = schemaFlags(quantizeOptionsSchema)

export const quantize: Command = {
  name: 'quantize',
  flags: {
    model: {
      type: 'string',
      value: 'DIR',
      description: 'unquantised model folder, or id in the Hugging Face cache',
      required: true,
    },
    output: { type: 'string', value: 'DIR', description: 'new or empty folder to write', required: true },
    ...optionFlags,
  },
  async run({ flags, output }) {
    const options = section(quantizeOptionsSchema, 'quantize', {}, schemaValues(quantizeOptionsSchema, flags))
    const folder = await openOutput(flags, 'quantize', options.overwrite)
    const started = performance.now()
    output.phase('quantising')
    const result = await quantizeModel(text(flags, 'model')!, folder, options)
    output.endProgress()
    const seconds = (performance.now() - started) / 1000
    output.text(
      `${result.quantized} linear layers as ${options.quantization}: ${formatBytes(result.bytesBefore)} → ${formatBytes(result.bytesAfter)} in ${seconds.toFixed(1)} s`,
    )
    output.text(`written to ${shownPath(result.folder)}`)
    return { ...result, seconds }
  },
}
