import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eachDatabase } from '../../kernel/db/testing.ts'
import * as table from './metadefs.ts'
import { migrations } from './migrations.ts'
import type { ImageTables, NamespaceRow, PartRow } from './tables.ts'

const row = (namespace: string, more: Partial<NamespaceRow> = {}): NamespaceRow => ({
  namespace,
  display_name: null,
  description: null,
  visibility: 'private',
  protected: 0,
  owner: 'mine',
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
  ...more,
})
const part = (namespace: string, kind: PartRow['kind'], name: string): PartRow => ({
  ...{ namespace, kind, name, body_json: '{}' },
  ...{ created_at: '2026-01-01T00:00:00.000Z', updated_at: '2026-01-01T00:00:00.000Z' },
})
const all = { viewer: null, sort: { key: 'namespace', direction: 'asc' }, limit: 10 } as const

eachDatabase<ImageTables>(migrations, (open) => {
  test('who sees which namespaces, by visibility, resource type and page', async () => {
    const { db } = await open()
    for (const one of [row('a'), row('b', { owner: 'theirs' }), row('c', { owner: 'theirs', visibility: 'public' })])
      await table.insertNamespace(db, one)
    await table.insertParts(db, [part('c', 'resource_type', 'T'), part('a', 'resource_type', 'T'), part('a', 'resource_type', 'U')])
    const names = async (filter: Partial<table.NamespaceFilter>) =>
      (await table.listNamespaces(db, { ...all, ...filter })).map((one) => one.namespace)
    assert.deepEqual(await names({}), ['a', 'b', 'c'])
    assert.deepEqual(await names({ viewer: 'mine' }), ['a', 'c'])
    assert.deepEqual(await names({ viewer: 'mine', visibility: 'public' }), ['c'])
    assert.deepEqual(await names({ resourceTypes: ['T'] }), ['a', 'c'])
    assert.deepEqual(await names({ after: row('a'), limit: 1 }), ['b'])
    assert.deepEqual(await names({ sort: { key: 'created_at', direction: 'desc' }, after: row('c') }), ['b', 'a'])
    assert.deepEqual(
      (await table.resourceTypes(db)).map((one) => one.name),
      ['T', 'U'],
    )
  })

  test('a renamed namespace keeps its parts, a deleted one takes them along', async () => {
    const database = await open()
    await table.insertNamespace(database.db, row('old'))
    await table.insertParts(database.db, [part('old', 'tag', 'x'), part('old', 'object', 'x')])
    await database.transaction((trx) => table.updateNamespace(trx, 'old', row('new')))
    assert.equal((await table.partsOf(database.db, ['new'], ['tag', 'object'])).length, 2)
    assert.equal(await table.deleteParts(database.db, 'new', 'tag', 'x'), 1)
    assert.equal(await table.findPart(database.db, 'new', 'tag', 'x'), undefined)
    await database.transaction((trx) => table.deleteNamespace(trx, 'new'))
    assert.deepEqual(await table.partsOf(database.db, ['new'], ['tag', 'object']), [])
  })
})
