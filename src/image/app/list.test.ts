import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { timestamp } from '../../kernel/db/columns.ts'
import { eachDatabase } from '../../kernel/db/testing.ts'
import { silent } from '../../kernel/log/log.ts'
import { insertImage } from '../db/images.ts'
import { migrations } from '../db/migrations.ts'
import type { ImageTables } from '../db/tables.ts'
import type { ImageContext } from './context.ts'
import { pageOfImages } from './list.ts'

const demo = { projectId: 'demo', isAdmin: false }

const row = (n: number, more: object) => ({
  id: `00000000-0000-4000-8000-00000000000${n}`,
  name: `image-${n}`,
  owner: 'demo',
  status: 'active' as const,
  visibility: 'private' as const,
  protected: 0,
  hidden: 0,
  disk_format: 'qcow2',
  container_format: 'bare',
  size: n * 100,
  virtual_size: null,
  checksum: null,
  hash_algo: null,
  hash_value: null,
  min_ram: 0,
  min_disk: 0,
  upload_id: null,
  lease_until: null,
  created_at: timestamp(Date.UTC(2026, 0, n)),
  updated_at: timestamp(Date.UTC(2026, 0, n)),
  tags: [],
  properties: {},
  ...more,
})

eachDatabase<ImageTables>(migrations, (open) => {
  describe('lists of images', () => {
    let context: ImageContext
    before(async () => {
      const database = await open()
      context = { database, log: silent() } as unknown as ImageContext
      await database.transaction(async (trx) => {
        await insertImage(trx, row(1, { tags: ['gold', 'old'], properties: { os_distro: 'debian' } }))
        await insertImage(trx, row(2, { name: 'a,b', disk_format: 'raw', properties: { os_distro: 'debian', arch: 'x86_64' } }))
        await insertImage(trx, row(3, { name: null, size: null, status: 'queued', tags: ['gold'] }))
        await insertImage(trx, row(4, { owner: 'other', visibility: 'public', protected: 1 }))
        await insertImage(trx, row(5, { owner: 'other' }))
        await insertImage(trx, row(6, { hidden: 1 }))
      })
    })
    const list = async (query: Record<string, string | string[]>, viewer = demo) =>
      (await pageOfImages(context, viewer, query)).images.map((image) => Number(image.id.at(-1)))

    test('own and public ones, newest first; everything for an administrator', async () => {
      assert.deepEqual(await list({}), [4, 3, 2, 1])
      assert.deepEqual(await list({}, { projectId: 'demo', isAdmin: true }), [5, 4, 3, 2, 1])
    })

    test('filters', async () => {
      for (const [query, expected] of [
        [{ name: 'image-1' }, [1]],
        [{ name: 'in:image-1,"a,b"' }, [2, 1]],
        [{ disk_format: 'raw' }, [2]],
        [{ status: 'queued' }, [3]],
        [{ status: 'in:queued,active' }, [4, 3, 2, 1]],
        [{ visibility: 'public' }, [4]],
        [{ owner: 'other' }, [4]],
        [{ size_min: '150', size_max: '250' }, [2]],
        [{ tag: 'gold' }, [3, 1]],
        [{ tag: ['gold', 'old'] }, [1]],
        [{ os_distro: 'debian' }, [2, 1]],
        [{ os_distro: 'debian', arch: 'x86_64' }, [2]],
        [{ protected: 'true' }, [4]],
        [{ os_hidden: 'true' }, [6]],
        [{ created_at: 'gte:2026-01-03T00:00:00Z' }, [4, 3]],
        [{ created_at: 'lt:2026-01-02T00:00:00' }, [1]],
        [{ created_at: '2026-01-02T00:00:00Z' }, [2]],
      ] as const)
        assert.deepEqual(await list(query as any), expected, JSON.stringify(query))
    })

    test('pages continue after the marker in any order, also where values are missing or equal', async () => {
      const queries: Record<string, string | string[]>[] = [
        {},
        { sort_key: 'name', sort_dir: 'asc' },
        { sort_key: ['size', 'name'], sort_dir: ['desc', 'asc'] },
        { sort: 'container_format:asc,disk_format:desc' },
      ]
      for (const query of queries) {
        const whole = await list({ ...query, limit: '100' })
        const walked: number[] = []
        for (let marker: string | undefined; ; ) {
          const page = await pageOfImages(context, demo, { ...query, limit: '1', ...(marker ? { marker } : {}) })
          walked.push(...page.images.map((image) => Number(image.id.at(-1))))
          marker = page.images.at(-1)?.id
          if (!page.more) break
        }
        assert.deepEqual(walked, whole, JSON.stringify(query))
      }
    })

    test('nonsense is refused by name', async () => {
      for (const query of [
        { limit: '-1' },
        { limit: 'many' },
        { marker: 'nowhere' },
        { visibility: 'secret' },
        { member_status: 'maybe' },
        { sort_key: 'owner' },
        { sort_dir: 'up' },
        { sort: 'name', sort_key: 'name' },
        { created_at: 'yesterday' },
        { protected: 'perhaps' },
        { size_min: 'big' },
      ])
        await assert.rejects(list(query as any), { status: 400 }, JSON.stringify(query))
      assert.deepEqual(await list({ limit: '0' }), [])
    })
  })
})
