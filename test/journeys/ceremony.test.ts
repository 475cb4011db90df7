// People who never meet found and rotate the root of a site, each on a machine of their own, with
// nothing but small files; the commands are those of docs/trust.md.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Context, Output } from '../../src/cli/context.ts'
import { type RootDraftOptions, rootDraftCommand } from '../../src/cli/root-draft.ts'
import { type Ended, expectExit, Registry } from '../crateferry.ts'
import { Site } from '../site.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const timeout = 120_000
const PEOPLE = ['alice', 'bob', 'carol', 'dave']
const ONLINE = ['targets', 'snapshot', 'timestamp']

let registry: Registry
let upstream: LoopbackUpstream
/** A site of its own, made with all keys at hand. */
let site: Site
/** A mirror that has synced; each test signs a copy. */
let healthy: string

beforeAll(async () => {
  registry = await Registry.make()
  upstream = await serveFolder(registry.public)
  healthy = await registry.mirror('healthy', upstream.url)
  await expectExit(0, 'sync', '--mirror', healthy)
  site = await Site.make(registry.at('site-keys'))
}, timeout)

afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

function copy(name: string): string {
  cpSync(healthy, registry.at(name), { recursive: true })
  return registry.at(name)
}

/** A file on somebody's machine. */
function at(who: string, name: string): string {
  mkdirSync(registry.at(who), { recursive: true })
  return join(registry.at(who), name)
}

/** A courier: the file as the other one gets it. */
function carry(name: string, from: string, to: string): string {
  copyFileSync(at(from, name), at(to, name))
  return at(to, name)
}

/** Alice's key is sealed; a second for each guess is long where there are many tests. */
const passphrase = (who: string): string[] =>
  who === 'alice' ? ['--passphrase-file', at(who, 'passphrase')] : []

async function keyOf(who: string): Promise<void> {
  writeFileSync(at(who, 'passphrase'), `the secret words of ${who}\n`)
  const sealing = who === 'alice' ? passphrase(who) : ['--insecure-plaintext']
  await expectExit(0, 'key', 'new', at(who, `${who}.key`), '--owner', who, ...sealing)
}

/** Signs on the member's machine; the signature comes back to the coordinator. */
async function signatureOf(who: string, draft: string, prev?: string): Promise<string> {
  const options = prev === undefined ? [] : ['--prev', carry(prev, 'desk', who)]
  const file = carry(draft, 'desk', who)
  const out = draft.replace('draft', who)
  const key = ['--key', at(who, `${who}.key`), ...passphrase(who), '--out', at(who, out)]
  await expectExit(0, 'root', 'sign', file, ...options, ...key)
  expect(statSync(at(who, out)).size).toBeLessThan(500)
  return carry(out, who, 'desk')
}

async function refused(exit: number, pattern: RegExp, ...args: string[]): Promise<Ended> {
  const ended = await expectExit(exit, '--quiet', ...args)
  expect(ended.stderr).toMatch(pattern)
  expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1)
  return ended
}

test('a quorum founds a root, rotates it, and those below follow', { timeout }, async () => {
  for (const who of PEOPLE) {
    await keyOf(who)
    carry(`${who}.pub.json`, who, 'desk')
  }
  const mirror = copy('mirror')
  mkdirSync(join(mirror, 'keys'))
  const online = ONLINE.flatMap(role => {
    const file = at('site', `${role}.key`)
    return ['--online', `${role}=${file.replace('.key', '.pub.json')}`]
  })
  for (const role of ONLINE) {
    await expectExit(0, 'key', 'new', at('site', `${role}.key`), '--insecure-plaintext')
  }

  // founding: two of three
  const first = at('desk', '1.root.draft.json')
  const founders = ['alice', 'bob', 'carol'].flatMap(who => [
    '--add-root',
    at('desk', `${who}.pub.json`),
  ])
  const draft = [
    'root',
    'draft',
    '--new',
    ...founders,
    '--threshold',
    '2',
    ...online,
    '--out',
    first,
  ]
  const said = await expectExit(0, ...draft, '--json')
  const review = await expectExit(0, 'root', 'review', first)
  expect(review.stdout).toContain('(said to be alice)')
  const digest = String(said.json()['digest'])
  expect(review.stdout).toContain(digest.slice(0, 32).replace(/(.{4})(?=.)/g, '$1 '))
  const carol = await signatureOf('carol', '1.root.draft.json')
  const root = at('desk', '1.root.json')
  const merge = ['root', 'merge', first, '--out', root, '--sig']
  await refused(11, /new 1\/2; nothing is written/, ...merge, carol)
  expect(existsSync(root)).toBe(false)
  const alice = await signatureOf('alice', '1.root.draft.json')
  const merged = await expectExit(0, ...merge, carol, alice, carol)
  expect(merged.stdout).toContain('new 2/2')
  await expectExit(0, ...merge, alice, carol)
  expect((await expectExit(0, 'root', 'show', root)).stdout).toMatch(
    /signed by 2 of its own keys, 2 needed/,
  )

  // the site signs under it, and another mirror follows the site
  configure(mirror)
  await expectExit(0, 'sign', '--mirror', mirror, '--root', root)
  await using served = await serveFolder(join(mirror, 'public'))
  const below = registry.at('below')
  await expectExit(0, 'init', below, '--upstream', served.url, '--root', root)
  await expectExit(0, 'sync', '--mirror', below)

  // carol's key is lost: dave comes, and the key for timestamps is another one
  await expectExit(0, 'key', 'new', at('site', 'timestamp-2.key'), '--insecure-plaintext')
  const second = at('desk', '2.root.draft.json')
  const carolKey = (await expectExit(0, 'key', 'show', at('carol', 'carol.key'), '--json')).json()
  const change = [
    ...['--remove-root', String(carolKey['keyid']).slice(0, 12)],
    ...['--add-root', at('desk', 'dave.pub.json')],
    ...['--online', `timestamp=${at('site', 'timestamp-2.pub.json')}`],
  ]
  await expectExit(0, 'root', 'draft', '--from', root, ...change, '--out', second)
  const shown = await expectExit(0, 'root', 'review', second, '--prev', root)
  expect(shown.stdout).toMatch(/goes +[0-9a-f]{64}/)
  expect(shown.stdout).toMatch(/comes +[0-9a-f]{64} {2}\(said to be dave\)/)
  const bob2 = await signatureOf('bob', '2.root.draft.json', '1.root.json')
  const dave2 = await signatureOf('dave', '2.root.draft.json', '1.root.json')
  const next = at('desk', '2.root.json')
  const merge2 = ['root', 'merge', second, '--prev', root, '--out', next, '--sig']
  await refused(11, /old 1\/2, new 2\/2; nothing is written/, ...merge2, bob2, dave2)
  const alice2 = await signatureOf('alice', '2.root.draft.json', '1.root.json')
  expect((await expectExit(0, ...merge2, dave2, bob2, alice2)).stdout).toContain('old 2/2, new 3/2')
  expect((await expectExit(0, 'root', 'show', next, '--prev', root)).stdout).toContain(
    'it follows root 1',
  )

  await refused(
    64,
    /the timestamp key [0-9a-f]+ is not one/,
    'sign',
    '--mirror',
    mirror,
    '--root',
    next,
  )
  configure(mirror, 'timestamp-2')
  const signed = await expectExit(0, 'sign', '--mirror', mirror, '--root', next, '--json')
  expect(signed.json()).toMatchObject({
    versions: { root: 2, targets: 1, snapshot: 1, timestamp: 2 },
  })
  await expectExit(0, 'verify', '--mirror', mirror)
  await expectExit(0, 'sync', '--mirror', below)
  const status = (await expectExit(0, 'status', '--mirror', below, '--json')).json()
  expect(JSON.stringify(status)).toContain('"timestamp":2')
  await expectExit(0, 'verify', '--mirror', below)
  await refused(64, /does not follow root 2/, 'sign', '--mirror', mirror, '--root', site.root)
})

test('root draft says what is wrong with what it is given', { timeout }, async () => {
  const out = at('desk', 'x.root.draft.json')
  const wrong = async (pattern: RegExp, options: Partial<RootDraftOptions>): Promise<void> => {
    const told = rootDraftCommand(context(), { expires: 365, out, ...options })
    await expect(told).rejects.toThrow(pattern)
    await expect(told).rejects.toMatchObject({ code: 'usage' })
  }
  const from = site.root
  const online = ONLINE.map(role => `${role}=${site.key(role)}`)
  await wrong(/either --from FILE/, {})
  await wrong(/either --from FILE/, { new: true, from })
  await wrong(/first root needs --threshold/, { new: true })
  await wrong(/expected 1 to 0/, { new: true, threshold: 1, online })
  await wrong(/needs --online targets=FILE/, { new: true, threshold: 1 })
  await wrong(/--online "root=x": expected/, { from, online: ['root=x'] })
  await wrong(/not the key id/, { from, removeRoot: ['abc'] })
  await wrong(/given twice/, { from, addRoot: [site.key('alice')] })
  await wrong(/stay offline/, { from, addRoot: [site.key('targets')] })
  await wrong(/expected 1 to 3/, { from, threshold: 4 })
  expect(existsSync(out)).toBe(false)

  await expectExit(0, 'root', 'draft', '--from', from, '--threshold', '1', '--out', out)
  const sign = ['root', 'sign', out, '--prev', from, '--out', at('desk', 'x.sig.json'), '--key']
  await refused(16, /one key alone .* --accept-single/, ...sign, site.key('alice'))
  await refused(11, /no root key of root 1 or 2/, ...sign, site.key('targets'), '--accept-single')
  await expectExit(0, ...sign, site.key('alice'), '--accept-single')
  await expectExit(0, ...sign, site.key('alice'), '--accept-single')
  await refused(64, /is there already/, ...sign, site.key('bob'), '--accept-single')
})

/** What a command is given, in this process, where dozens of them would each take a start. */
function context(): Context {
  return {
    env: {},
    cwd: registry.folder,
    signal: new AbortController().signal,
    now: () => new Date(),
    options: {},
    out: new Output({}, {}, () => {}),
  }
}

test('a program signs, and what it answers counts only if it verifies', { timeout }, async () => {
  const mirror = copy('exec')
  const program = at('exec-site', 'sign-it')
  const script = (answer: string): void => {
    writeFileSync(program, `#!${process.execPath}\n${answer}\n`)
    chmodSync(program, 0o755)
  }
  const good = (key: string): string => `
    const { createPrivateKey, sign } = require('node:crypto')
    const { readFileSync } = require('node:fs')
    const { seed, keyid } = JSON.parse(readFileSync(process.argv[2] ?? ${JSON.stringify(key)}))
    const key = createPrivateKey({ key: Buffer.from(seed, 'hex'), format: 'raw-private', asymmetricKeyType: 'ed25519' })
    console.log(JSON.stringify({ keyid, sig: sign(null, readFileSync(0), key).toString('hex') }))`
  script(good(site.key('timestamp')))
  site.configure(mirror, { timestamp: `exec:${program} ${site.key('timestamp')}` })
  await expectExit(0, 'sign', '--mirror', mirror, '--root', site.root)
  await expectExit(0, 'verify', '--mirror', mirror)

  const other = copy('exec-other')
  site.configure(other, { timestamp: `exec:${program}` })
  const sign = ['sign', '--mirror', other, '--root', site.root]
  script(good(site.key('snapshot')))
  await refused(64, /these keys are not the ones/, ...sign)
  script('console.log("{}")')
  await refused(21, /answered "\{\}\\n", expected/, ...sign)
  script('console.error("first"); console.error("no card in the slot"); process.exit(3)')
  await refused(21, /sign-it ended with 3: "no card in the slot"/, ...sign)
  script('for (;;) require("node:fs").writeSync(1, "x".repeat(65536))')
  await refused(21, /printed more than 65536 bytes/, ...sign)
  script('process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)')
  await refused(21, /was ended by SIGTERM/, ...sign)
  site.configure(other, { timestamp: 'exec:/nowhere/sign' })
  await refused(21, /\/nowhere\/sign cannot be run/, ...sign)
  expect(existsSync(join(other, 'public/site/timestamp.json'))).toBe(false)
  script(good(site.key('timestamp')))
  site.configure(other, { timestamp: `exec:${program}` })
  await expectExit(0, ...sign)

  // a member whose key is in such a program
  const draft = at('exec-site', '2.root.draft.json')
  await expectExit(0, 'root', 'draft', '--from', site.root, '--out', draft)
  const out = at('exec-site', 'a.sig.json')
  const asMember = ['root', 'sign', draft, '--prev', site.root, '--out', out, '--key']
  await expectExit(0, ...asMember, `exec:${program} ${site.key('alice')}`)
  expect(readFileSync(out, 'utf8')).toContain('"role":"root"')
})

// skipped, and said so, where there is no util-linux `script` to give a program a terminal
const hasScript = spawnSync('script', ['--version']).status === 0
test.skipIf(!hasScript)(
  'a passphrase is typed twice on a terminal and not shown; without one nothing is made',
  {
    timeout,
  },
  async () => {
    await refused(64, /run it on a terminal/, 'key', 'new', at('typed', 'a.key'))
    const file = at('typed', 'b.key')
    const differ = await typed(['key', 'new', file], ['one two three\r', 'one two four\r'])
    expect(differ.exit).toBe(64)
    expect(differ.shown).toContain('the two passphrases differ')
    expect(existsSync(file)).toBe(false)
    // a slip, taken back
    const made = await typed(['key', 'new', file], ['one two threx\x7fe\r', 'one two three\r'])
    expect(made.shown).toContain('sealed')
    expect(made.shown).not.toContain('two three')
    expect(made.exit).toBe(0)
    writeFileSync(at('typed', 'passphrase'), 'one two three\n')
    const root = ['root', 'new', at('typed', '1.root.json'), '--key', file, '--threshold', '1']
    const online = ONLINE.flatMap(role => [`--${role}`, site.key(role)])
    writeFileSync(at('typed', 'wrong'), 'other words\n')
    const words = (name: string): string[] => ['--passphrase-file', at('typed', name)]
    await refused(64, /does not open it/, ...root, ...online, ...words('wrong'))
    await expectExit(0, ...root, ...online, ...words('passphrase'))
    expect((await typed(['key', 'new', at('typed', 'c.key')], ['\x03'])).exit).toBe(64)
  },
)

/** On a terminal of its own, by util-linux's `script`. */
async function typed(
  args: readonly string[],
  keys: readonly string[],
): Promise<{ readonly exit: number | null; readonly shown: string }> {
  const command = [process.execPath, 'bin/crateferry.js', ...args].join(' ')
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  let shown = ''
  let answered = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text
    const asked = shown.match(/: (?=\r\n|$)/g)?.length ?? 0
    if (asked > answered && answered < keys.length) {
      child.stdin.write(keys[answered] ?? '')
      answered += 1
    }
  })
  const [exit] = await once(child, 'exit')
  return { exit, shown }
}

function configure(mirror: string, timestamp = 'timestamp'): void {
  const file = join(mirror, 'crateferry.toml')
  const key = (name: string): string => `"file:${at('site', `${name}.key`)}"`
  const lines = `targets = ${key('targets')}\nsnapshot = ${key('snapshot')}\ntimestamp = ${key(timestamp)}\n`
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace(/\[sign\]\n[^[]*/, `[sign]\n${lines}\n`))
}
