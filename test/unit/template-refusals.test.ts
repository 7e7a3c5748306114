/** Templates that are broken, use what is not there, or mean harm. */
import t from 'tap'
import { ChatTemplate } from '../../src/data/tokenizer/chat-template.js'

const hi = [{ role: 'user', content: 'hi' }]
const render = (source: string, variables: Record<string, unknown> = {}) =>
  new ChatTemplate(source, {}).render(hi, { variables })

t.test('what a template asks for and does not get is named, and is no fault of the conversation', async (t) => {
  const unsupported: [source: string, message: RegExp][] = [
    ["{% if true %}{{ 'x' | nope }}{% endif %}", /line 1: cannot be used: there is no filter named 'nope'/],
    ['\n{{ 1 is nope }}', /line 2: .*there is no test named 'nope'/],
    ["{{ [1] | map('nope') | list }}", /no filter named 'nope'/],
    ["{{ [1] | select('nope') | list }}", /no test named 'nope'/],
    ['{{ x.items }}', /printing a function, which Python prints with its address/],
    ['{{ lipsum() }}', /lipsum/],
    ["{{ 'a' | pprint }}", /filter 'pprint'/],
    ["{{ 'http://x' | urlize }}", /filter 'urlize'/],
    ["{{ 'a b' | wordwrap(1) }}", /filter 'wordwrap'/],
    ["{{ 'a'.encode() }}", /str\.encode/],
    ["{{ 'a'.translate({}) }}", /str\.translate/],
    ["{% include 'x' %}", /tag include .*nothing to load from/],
    ["{% extends 'x' %}", /tag extends/],
    ["{% import 'x' as y %}", /tag import/],
    ["{% from 'x' import y %}", /tag from/],
    ['{% autoescape true %}x{% endautoescape %}', /tag autoescape/],
    ['{% for i in [1] %}{% block b scoped %}{% endblock %}{% endfor %}', /scoped block/],
    ['{% block b required %}{% endblock %}', /required block/],
    ['{{ self.b() }}', /self is not supported/],
    ["{{ strftime_now('%Q') }}", /'%Q' in a date's format/],
    ['{{ {(1, 2): 3} }}', /a tuple as a key of a dict/],
    ["{{ '\\N{DIGIT ONE}' }}", /\\N\{name\}/],
    ["{{ ('<b>' | safe) % 1 }}", /marked as safe/],
  ]
  for (const [source, message] of unsupported) {
    t.throws(() => render(source, { x: { items: 1 } }), { code: 'E_TOKENIZER', message }, source)
  }
})

t.test('broken templates name the line; a template that raises blames the conversation', async (t) => {
  for (const [source, message] of [
    ['a\n{% if x %}\nb', /line 3: not understood: the template ends without elif or else or endif/],
    ['{{ 1 +* 2 }}', /line 1: not understood: unexpected '\*'/],
    ['\n\n{% nope %}', /line 3: not understood: unknown tag 'nope'/],
    ["{{ 'a", /line 1: not understood: unexpected character '''/],
    ['{% break %}', /break outside of a loop/],
  ] as const) {
    t.throws(() => render(source), { code: 'E_TOKENIZER', message }, source)
  }
  t.throws(() => render("x\n{{ raise_exception('roles must alternate') }}"), {
    code: 'E_DATA',
    message: /line 2: refuses a conversation of roles \[user\]: roles must alternate$/,
  })
  t.throws(() => render('{{ messages[0].content + 1 }}'), { code: 'E_DATA', message: /'str' and 'int'/ })
  t.throws(() => render('{{ messages[0].nope.x }}'), {
    code: 'E_DATA',
    message: /'dict object' has no attribute 'nope'/,
  })
  t.throws(() => render('{{ f }}', { f: () => 1 }), { code: 'E_DATA', message: /a function cannot be passed/ })
  const circle: Record<string, unknown> = {}
  circle.self = circle
  t.throws(() => render('{{ f }}', { f: circle }), {
    code: 'E_DATA',
    message: /nested deeper than 500, or in a circle/,
  })
})

t.test('nothing of JavaScript is within reach', async (t) => {
  const names = ['constructor', '__proto__', 'prototype', 'hasOwnProperty', 'toString', 'valueOf', 'then', 'length']
  for (const name of names) {
    for (const value of ['data', 'data.list', "'text'", '5', 'none', 'range', 'messages', "data.get('x')"]) {
      t.equal(
        render(`{{ ${value}.${name} is defined }}|{{ ${value}['${name}'] is defined }}`, { data: { list: [] } }),
        'False|False',
      )
    }
    t.throws(() => render(`{{ data.${name}.x }}`, { data: {} }), { code: 'E_DATA' }, name)
    t.throws(() => render(`{{ data.${name}() }}`, { data: {} }), { code: 'E_DATA' }, name)
  }
  t.equal(render('{{ constructor is defined }}{{ hasOwnProperty }}{{ __proto__ is defined }}'), 'FalseFalse')
  for (const source of [
    "{{ ''['constructor']['constructor']('return process')() }}",
    "{{ range['constructor']('return 1')() }}",
    "{{ [] | map('constructor') | list }}{{ [1] | map('__proto__') | list }}",
    "{{ [1] | select('constructor') | list }}",
    '{{ 1 | constructor }}',
    '{{ 1 is __proto__ }}',
    "{{ '{0.constructor.constructor}'.format('x').y.z }}",
    "{{ strftime_now('%constructor'[0:1] ~ '_') }}",
  ]) {
    t.throws(() => render(source), { code: /^E_(DATA|TOKENIZER)$/ }, source)
  }
  const ns =
    '{% set ns = namespace() %}{% set ns.constructor = 1 %}{{ ns.constructor }}{{ ({}).constructor is defined }}'
  t.equal(render(ns), '1False')
  t.throws(() => render('{% set ns = namespace() %}{% set ns.__proto__ = {} %}'), { code: 'E_DATA' })
  t.throws(() => render('{{ dict(**{"__proto__": 1}).x.y }}'), { code: 'E_DATA' })
  t.equal(({} as { x?: unknown }).x, undefined, "JavaScript's own prototype is as it was")
})

t.test('work without end is stopped', async (t) => {
  const hostile: Record<string, string> = {
    'nested loops': '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}',
    'a loop over a doubled list':
      '{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}',
    'a doubled text':
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    'a text added to itself':
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    'a repeated text': "{{ 'abc' * 999999999 }}",
    'a repeated list': '{{ [1] * 999999999 }}',
    padding: "{{ 'a'.center(9999999999) }}",
    'printf padding': "{{ '%9999999999d' % 1 }}",
    'format padding': "{{ '{:9999999999}'.format(1) }}",
    indentation: "{{ ('a\\n' * 1000000) | indent(10000) }}",
    replacing: "{{ ('a' * 100000).replace('', 'b' * 10000) }}",
    'a power': '{{ 9 ** (9 ** 9) }}',
    'a product': '{% set ns = namespace(n=3) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}',
    output: "{% for i in range(99999) %}{{ 'x' * 10000 }}{% endfor %}",
    'a macro without end': '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
    'a loop within itself': '{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}',
    'a call block without end': '{% macro m() %}{% call m() %}{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}',
    brackets: `{{ ${'('.repeat(5000)}1${')'.repeat(5000)} }}`,
    lists: `{{ ${'['.repeat(5000)}${']'.repeat(5000)} }}`,
    signs: `{{ ${'-'.repeat(50000)}1 }}`,
    blocks: '{% if 1 %}'.repeat(5000) + '{% endif %}'.repeat(5000),
    'characters of a long text':
      "{% set t = '🦊' * 50000 %}{% for i in range(99999) %}{% set x = t | length %}{% endfor %}",
    'lists compared': '{% set l = range(99999) | list %}{% for i in range(99999) %}{% set x = l == l[:] %}{% endfor %}',
    'lists of lists compared':
      '{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}',
    'lists of lists printed':
      '{% set ns = namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}',
    'a number of many digits': "{{ ('1' * 100000 ~ 'x') | float }}",
    'a wide batch': '{{ [1] | batch(999999999, 0) | list }}',
    'joined text': "{{ (['a'] * 100000) | join('b' * 10000) }}",
  }
  for (const [name, source] of Object.entries(hostile)) {
    t.throws(() => render(source), { code: 'E_TOKENIZER', message: /stopped: / }, name)
  }
  for (const name of ['a macro without end', 'a loop within itself']) {
    t.throws(() => render(hostile[name]!), { message: /more than 180 calls within each other/ }, `${name}, by count`)
  }
  t.throws(() => render('{{ range(999999) }}'), { code: 'E_DATA', message: /range of more than 100000/ })
  t.equal(render('{% for i in range(50000) %}x{% endfor %}').length, 50_000, 'a long conversation is not stopped')
})
