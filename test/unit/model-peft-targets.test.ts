/** Which modules an adapter_config.json means, with what rank and alpha: as PEFT has them, config by config. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { isFedloraError } from '../../src/errors.js'
import { adapterLayers } from '../../src/model/adapter-options.js'
import { parsePeftConfig } from '../../src/model/peft/methods.js'

type Row = [module: string, rank: number, alpha: number]
const golden = JSON.parse(readFileSync('test/golden/regex/targets.json', 'utf8')) as {
  modules: string[]
  configs: [Record<string, unknown>, Row[] | 'error'][]
}
const linears = golden.modules.filter((module) => module.includes('layers'))
const modules = { linears, head: 'lm_head', embedding: 'model.embed_tokens' }

function ours(fields: Record<string, unknown>): Row[] | string {
  try {
    const raw = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 8, lora_alpha: 16, ...fields }
    const { config, targets } = parsePeftConfig(raw, 'adapter_config.json', modules)
    return adapterLayers(config, targets).map(({ module, rank, scaling }) => [module, rank, scaling * rank])
  } catch (error) {
    if (isFedloraError(error)) return error.code
    throw error
  }
}

t.test('every golden config', (t) => {
  let compared = 0
  for (const [fields, expected] of golden.configs) {
    const got = ours(fields)
    const what = JSON.stringify(fields)
    if (expected === 'error') t.type(got, 'string', `${what} is refused`)
    else if (expected.some(([module]) => !linears.includes(module))) t.equal(got, 'E_UNSUPPORTED', what)
    else {
      t.same(got, expected, what)
      compared++
    }
  }
  t.ok(compared > 150, `${compared} of ${golden.configs.length} configs have targets`)
  const [fields, expected] = golden.configs.find(([, rows]) => rows !== 'error' && rows.length === 3)!
  t.strictNotSame(ours({ ...fields, exclude_modules: ['layers.1.self_attn.q_proj'] }), expected, 'canary')
  t.end()
})
