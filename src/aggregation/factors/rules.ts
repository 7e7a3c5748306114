/** Every rule by its name. */
import type { FactorRule } from './rule.js'
import { fedex } from './rules/fedex.js'
import { fedit } from './rules/fedit.js'
import { ffa } from './rules/ffa.js'
import { flexlora } from './rules/flexlora.js'
import { flora } from './rules/flora.js'
import { rolora } from './rules/rolora.js'
import { zeropad } from './rules/zeropad.js'

export const factorRules = { fedit, ffa, rolora, flora, zeropad, flexlora, fedex } satisfies Record<string, FactorRule>
