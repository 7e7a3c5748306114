/** Python's regular expressions: what `re` of CPython 3.11 matches, captures and refuses, pattern by pattern. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { isFedloraError } from '../../src/errors.js'
import { PythonPattern } from '../../src/model/python-regex/match.js'
import { differences, type PatternGolden } from '../support/python-regex.js'

const golden = JSON.parse(readFileSync('test/golden/regex/patterns.json', 'utf8')) as PatternGolden

t.test('every golden pattern, on every name, and as a key of rank_pattern', (t) => {
  t.ok(golden.patterns.length >= 2600)
  t.same(differences(golden), [])
  const [, second] = golden.patterns.filter(([, mask]) => mask !== 'error' && mask !== '0')
  const wrong = { ...golden, patterns: [[second![0], '0', second![2]] as [string, string, string]] }
  t.equal(differences(wrong).length, 1, 'canary')
  t.end()
})

t.test('patterns at the edges, each on its own texts', (t) => {
  const cases = JSON.parse(readFileSync('test/golden/regex/cases.json', 'utf8')) as [
    string,
    string,
    boolean | 'error',
  ][]
  const judge = (pattern: string, text: string) => {
    try {
      return new PythonPattern(pattern).fullmatch(text) !== undefined
    } catch (error) {
      if (isFedloraError(error, 'E_CONFIG')) return 'error'
      throw error
    }
  }
  const wrong = (list: typeof cases) => list.filter(([pattern, text, judged]) => judge(pattern, text) !== judged)
  const ofLaterGroups: typeof cases = [
    ['(a)?(b)?(?(2)c|d)', 'ad', true],
    ['(a)?(b)?(?(2)c|d)', 'bc', true],
    ['(a)?(b)?(?(2)c|d)', 'ac', false],
    ['(a)?(b)?(c)?(?(3)d|e)', 'abe', true],
    ['(a)?(b)?(c)?(?(3)d|e)', 'acd', true],
    ['(a)?(b)?(c)?(?(3)d|e)', 'abd', false],
  ]
  t.same(wrong(ofLaterGroups), [], 'conditions on later groups, by hand')
  const groupsTakenBack: typeof cases = [
    ['()(?:(a|b))*\\2', 'abb', true],
    ['()(?:(a|b))*\\2', 'aab', false],
    ['()(?:(a|b))*\\2', 'aa', true],
    ['()(?:(a|b))*\\2', 'abab', false],
  ]
  t.same(wrong(groupsTakenBack), [], 'a group that is taken back is what it was before')
  t.ok(cases.length > 200)
  t.same(wrong(cases), [])
  t.same(wrong([['[a-c]', 'b', false]]).length, 1, 'canary')
  t.end()
})

t.test('a refusal says what and where', (t) => {
  const refused = (source: string, message: RegExp) =>
    t.throws(() => new PythonPattern(source, 'target_modules'), { code: 'E_CONFIG', message }, source)
  refused('(?<n>a)', /target_modules: '\(\?<n>a\)' is not a regular expression of Python.*\(\?P<name>…\).*position 0/)
  refused('a(?i)', /do not stand at its beginning; for a part write \(\?i:…\).*position 1/)
  refused('\\p{L}', /a bad escape \\p/)
  refused('[a', /closing bracket/)
  refused('[a-', /closing bracket/)
  refused('(a', /closing parenthesis/)
  refused('a**', /a repetition of a repetition/)
  refused('(?<=a*)b', /width is not fixed/)
  refused('a\\', /backslash at the end/)
  refused('(?(2)a)(?(2)b)', /no group 2.*position 0/)
  refused('(?(2)a)(?(3)b)', /no group 3.*position 7/)
  t.throws(() => new PythonPattern('\\N{DIGIT ONE}'), {
    code: 'E_UNSUPPORTED',
    message: /\\N\{…\}.*write the character itself/,
  })
  t.end()
})

t.test('groups by number and name', (t) => {
  const found = new PythonPattern('.*\\.(?P<layer>\\d+)\\.(x)?.*').fullmatch('model.layers.12.mlp')
  t.equal(found?.group('layer'), '12')
  t.equal(found?.group(2), undefined)
  t.equal(found?.group(0), 'model.layers.12.mlp')
  t.equal(found?.group('none'), undefined)
  // What a group held before a repetition that is given up is what it holds again.
  t.equal(new PythonPattern('(?:(\\w))+\\1').fullmatch('abb')?.group(1), 'b')
  for (const text of ['ab', 'aba', 'abac']) t.equal(new PythonPattern('(?:(\\w))+\\1').fullmatch(text), undefined, text)
  t.end()
})

t.test('an expression that does not come to an end is refused', (t) => {
  const endless = new PythonPattern('((?:a+)+)+b')
  t.throws(() => endless.fullmatch('a'.repeat(40)), { code: 'E_CONFIG', message: /does not come to an end/ })
  t.ok(endless.match('aab'), 'canary')
  t.end()
})
