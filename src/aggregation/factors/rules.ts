/** Every rule by its name. */
import type { FactorRule } from './rule.js'
import { fedex } from './rules/fedex.js'
import { fedit } from './rules/fedit.js'
import { fedsa } from './rules/fedsa.js'
import { fedsb } from './rules/fedsb.js'
import { fedsvd } from './rules/fedsvd.js'
import { ffa } from './rules/ffa.js'
import { flexlora } from './rules/flexlora.js'
import { flora } from './rules/flora.js'
import { florana } from './rules/florana.js'
import { hetlora } from './rules/hetlora.js'
import { lorafair } from './rules/lorafair.js'
import { raflora } from './rules/raflora.js'
import { rolora } from './rules/rolora.js'
import { zeropad } from './rules/zeropad.js'

/** The rules for LoRA factors. */
export type FactorRuleName =
  | ('fedit' | 'ffa' | 'fedsa' | 'rolora' | 'flora' | 'zeropad' | 'hetlora')
  | ('flexlora' | 'raflora' | 'fedex' | 'florana' | 'lorafair' | 'fedsvd' | 'fedsb')

export const factorRules: Readonly<Record<FactorRuleName, FactorRule>> = {
  ...{ fedit, ffa, fedsa, rolora, flora, zeropad, hetlora },
  ...{ flexlora, raflora, fedex, florana, lorafair, fedsvd, fedsb },
}
