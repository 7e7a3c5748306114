/** The files of a split model: `name-00001-of-00003.gguf` and its like, as gguf-split writes them. */
import { basename, dirname, join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { exists } from '../../files/atomic.js'
import type { GgufMetadata } from '../../gguf/metadata.js'

const split = /^(.*)-(\d{5})-of-(\d{5})(\.gguf)$/i

/**
 * All parts in order; the file alone when it is whole.
 * @throws FedloraError `E_ARGUMENT` when it is not the first, `E_MISSING` naming those that are not there, `E_FORMAT`.
 */
export async function ggufParts(path: string, metadata: GgufMetadata): Promise<string[]> {
  const count = metadata.whole('split.count') ?? 1
  const number = metadata.whole('split.no') ?? 0
  if (count <= 1 && number === 0) return [path]
  const [, stem, own, total, ending] = split.exec(basename(path)) ?? []
  if (stem === undefined || Number(total) !== count || Number(own) !== number + 1) {
    const name = `-${String(number + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`
    throw new FedloraError(
      'E_FORMAT',
      `${path}: is part ${number + 1} of ${count}, but its name does not end with ${name}; give the parts back their names`,
      { path },
    )
  }
  const names = Array.from(
    { length: count },
    (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${total}${ending}`,
  )
  if (number !== 0) {
    throw new FedloraError(
      'E_ARGUMENT',
      `${path}: is part ${number + 1} of ${count}; name the first: '${join(dirname(path), names[0]!)}'`,
      { path },
    )
  }
  const paths = names.map((name) => join(dirname(path), name))
  const missing: string[] = []
  for (const one of paths) if (!(await exists(one))) missing.push(basename(one))
  if (missing.length > 0) {
    throw new FedloraError(
      'E_MISSING',
      `${missing.length} of the ${count} parts of '${path}' are not there: ${missing.slice(0, 8).join(', ')}; get them, too`,
      { missing },
    )
  }
  return paths
}
