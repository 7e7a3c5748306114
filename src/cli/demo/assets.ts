/** Where the files that ship with the package lie. */
import { fileURLToPath } from 'node:url'

const folder = (path: string) => fileURLToPath(new URL(`../../../assets/${path}`, import.meta.url))

export const baseModelFolder = folder('gsm-3m')
export const gsm8kFolder = folder('gsm8k')
