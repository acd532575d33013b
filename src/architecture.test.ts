import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const SERVICES = ['cluster', 'identity', 'placement', 'image', 'network', 'volume', 'compute']
const root = import.meta.dirname
const sources = globSync('**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts') && !file.endsWith('testing.ts'))

interface Arrow {
  from: string
  to: string
}

const arrows: Arrow[] = sources.flatMap((from) =>
  [...readFileSync(join(root, from), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map((match) => ({
    from,
    to: normalize(join(dirname(from), match[1]!)),
  })),
)

const floor = (path: string) => path.split('/')[0]!
const room = (path: string) => path.split('/')[1] ?? ''
const isDoor = (path: string) => /^[a-z]+\/(client|rpc|instance-metadata)\.ts$/.test(path)

/** Why an arrow may not be, or null. */
function objection({ from, to }: Arrow): string | null {
  const [a, b] = [floor(from), floor(to)]
  if (a === 'kernel' && b !== 'kernel') return 'the kernel knows nobody'
  if (a === 'drivers' && !['drivers', 'kernel'].includes(b)) return 'a driver knows the kernel only'
  if (a === 'guest' && !['guest', 'drivers', 'kernel'].includes(b)) return 'the guest image knows drivers and the kernel only'
  if (SERVICES.includes(a)) {
    if (['host', 'cloud', 'cli', 'console', 'doctor', 'guest'].includes(b)) return 'a service knows nothing above it and no host'
    if (SERVICES.includes(b) && a !== b && !isDoor(to)) return 'another service is reached through its client.ts or rpc.ts only'
    if (a === b && room(from) === 'api' && room(to) === 'db') return 'api/ does not touch the database'
    if (a === b && room(from) === 'app' && room(to) === 'api') return 'app/ does not know HTTP'
    if (a === b && room(from) === 'db' && ['api', 'app', 'sagas', 'reconcilers'].includes(room(to))) return 'db/ is the lowest room'
  }
  if (a === 'host') {
    if (SERVICES.includes(b) && !isDoor(to)) return 'a host knows services by their rpc.ts and client.ts only'
    if (['cloud', 'cli', 'console', 'doctor'].includes(b)) return 'a host knows nothing above it'
    if (to.startsWith('kernel/db/')) return 'a host never reaches a database'
  }
  if (['console', 'doctor'].includes(a) && ['cloud', 'cli'].includes(b)) return 'console and doctor are below the cloud'
  if (a === 'lab' && b === 'cli') return 'a lab starts the command line’s processes and imports nothing of it'
  if (a === 'cloud' && b === 'lab') return 'labs are made of clouds'
  if (a === 'cloud' && b === 'cli') return 'the cloud is below the command line'
  return null
}

test('arrows run down only', () => {
  const wrong = arrows.map((arrow) => ({ ...arrow, why: objection(arrow) })).filter((arrow) => arrow.why !== null)
  assert.deepEqual(wrong, [])
})

test('this test sees arrows and would object to wrong ones', () => {
  assert.ok(arrows.length > 50)
  assert.ok(objection({ from: 'kernel/a.ts', to: 'compute/client.ts' }))
  assert.ok(objection({ from: 'compute/app/a.ts', to: 'network/app/b.ts' }))
  assert.ok(objection({ from: 'host/compute/a.ts', to: 'kernel/db/database.ts' }))
  assert.ok(objection({ from: 'compute/api/a.ts', to: 'compute/db/b.ts' }))
  assert.equal(objection({ from: 'compute/app/a.ts', to: 'network/client.ts' }), null)
})

/** A way along arrows that comes back to where it began, or null. */
function circle(all: Arrow[]): string[] | null {
  const onward = Map.groupBy(all, ({ from }) => from)
  const done = new Set<string>()
  const walk = (file: string, way: string[]): string[] | null => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file]
    if (done.has(file)) return null
    for (const { to } of onward.get(file) ?? []) {
      const found = walk(to, [...way, file])
      if (found) return found
    }
    done.add(file)
    return null
  }
  for (const file of onward.keys()) {
    const found = walk(file, [])
    if (found) return found
  }
  return null
}

test('no file leads back to itself, not even by its types', () => {
  assert.equal(circle(arrows), null)
  assert.deepEqual(circle([...arrows, { from: 'kernel/db/failures.ts', to: 'kernel/db/database.ts' }])?.length, 3)
})

test('what the documents name is there', () => {
  const house = join(root, '..')
  const named = globSync(['*.md', 'docs/**/*.md'], { cwd: house }).flatMap((page) =>
    [
      ...readFileSync(join(house, page), 'utf8').matchAll(
        /\b(?:src|test|bench|conformance|chaos|deploy)\/[\w./-]+\.(?:ts|txt|sh|cfg|tsv)\b/g,
      ),
    ].map(([file]) => ({ page, file })),
  )
  assert.ok(named.length > 50)
  assert.deepEqual(
    named.filter(({ file }) => !existsSync(join(house, file))),
    [],
  )
})

test('the source speaks of itself alone', () => {
  const strangers = /\.\.\/shared|\/work\/|\bTODO\b|\bFIXME\b/
  const found = globSync('**/*.{ts,sh}', { cwd: root }).filter(
    (file) => file !== 'architecture.test.ts' && strangers.test(readFileSync(join(root, file), 'utf8')),
  )
  assert.deepEqual(found, [])
})
