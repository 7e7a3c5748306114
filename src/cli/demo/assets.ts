/** Where the files that ship with the package lie. */
import { fileURLToPath } from 'node:url'

const folder = (path: string) => fileURLToPath(new URL(`../../../assets/${path}`, import.meta.url))

/** Its linear layers are stored in NF4: the same base as that of `gsm-3m`, its source, which is not in the package. */
export const baseModelFolder = folder('gsm-3m-nf4')
export const gsm8kFolder = folder('gsm8k')
