/** Every attack by its name; a new one is a file, its options in `attacker-options.ts`, and a line here. */
import type { AttackName, AttackOptions } from '../../attacker-options.js'
import type { Attack } from './attack.js'
import { backdoor } from './backdoor.js'
import { freerider } from './free-rider.js'
import { innerproduct } from './inner-product.js'
import { labelflip } from './label-flip.js'
import { nan } from './non-finite.js'
import { noise } from './scaled-noise.js'
import { signflip } from './sign-flip.js'

export const attacks: { readonly [Name in AttackName]: Attack<AttackOptions<Name>> } = {
  signflip,
  noise,
  innerproduct,
  freerider,
  nan,
  labelflip,
  backdoor,
}
