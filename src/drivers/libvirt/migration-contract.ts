import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { until } from '../daemon.ts'
import { contractDomain } from './contract.ts'
import { domainXml } from './domain-xml.ts'
import type { Libvirt, LibvirtEvent } from './driver.ts'

const WRITTEN = 'what the guest has written'

export interface MigrationEnd {
  libvirt: Libvirt
  /** This process's way to the directory that domains of this end call {@link MigrationOptions.directory}. */
  seenAt: string
}

export interface MigrationOptions {
  source: MigrationEnd
  destination: MigrationEnd
  directory: string
  bridge: string
  /** `tcp://192.168.50.2` */
  listen: string
}

/** What two libvirtds and two twins keep to. */
export function migrationContract(make: () => Promise<MigrationOptions>): void {
  async function fresh() {
    const options = await make()
    const description = contractDomain(options, 7)
    for (const { seenAt } of [options.source, options.destination]) {
      mkdirSync(seenAt, { recursive: true })
      writeFileSync(join(seenAt, 'disk'), '', { mode: 0o666 })
      truncateSync(join(seenAt, 'disk'), 8 * 1024 * 1024)
    }
    writeFileSync(join(options.source.seenAt, 'disk'), WRITTEN, { flag: 'r+' })
    const { libvirt } = options.source
    await libvirt.defineDomain(domainXml(description))
    await libvirt.startDomain(description.uuid)
    return { ...options, uuid: description.uuid, name: description.name }
  }
  async function clear({ source, destination, uuid }: { source: MigrationEnd; destination: MigrationEnd; uuid: string }) {
    for (const { libvirt } of [source, destination]) {
      await libvirt.destroyDomain(uuid).catch(() => {})
      await libvirt.undefineDomain(uuid).catch(() => {})
    }
  }
  const stateOf = async ({ libvirt }: MigrationEnd, uuid: string) => (await libvirt.domainByUuid(uuid).catch(() => undefined))?.state

  for (const { how, ...disks } of [
    { how: 'and its disk is shared', copyDisks: [] },
    { how: 'with what its disk holds above its base', copyDisks: ['vda'] },
    { how: 'with its whole disk', copyDisks: ['vda'], whole: true },
  ])
    test(`a guest goes from one end to the other ${how}`, async () => {
      const { source, destination, uuid, name, listen } = await fresh()
      const heard: LibvirtEvent[] = []
      const stop = source.libvirt.onEvent((event) => heard.push(event))
      try {
        const plan = { ...disks, paused: false }
        const begun = await source.libvirt.beginMigration(uuid, plan)
        assert.match(begun.xml, new RegExp(name))
        const prepared = await destination.libvirt.prepareMigration(begun.xml, listen, begun.cookie, plan)
        assert.match(prepared.uri, /^tcp:.*:\d+$/)
        assert.equal(await stateOf(destination, uuid), 'paused', 'it waits')
        const performed = await source.libvirt.performMigration(uuid, prepared.uri, prepared.cookie, plan)
        const finished = await destination.libvirt.finishMigration(name, performed.cookie, plan, false)
        assert.equal(await stateOf(destination, uuid), 'running')
        await source.libvirt.confirmMigration(uuid, finished.cookie, plan, false)
        assert.equal(await stateOf(source, uuid), 'shutoff', 'its definition stays')
        await until('its end is told', () => heard.some((each) => each.kind === 'lifecycle' && each.reason === 'migrated'), 5_000)
        assert.match(await destination.libvirt.domainXml(uuid, { inactive: true }), new RegExp(uuid), 'it is defined there')
        if (plan.copyDisks.length > 0)
          assert.equal(readFileSync(join(destination.seenAt, 'disk'), 'latin1').slice(0, WRITTEN.length), WRITTEN)
      } finally {
        stop()
        await clear({ source, destination, uuid })
      }
    })

  test('a migration that is called off leaves the guest where it was', async () => {
    const { source, destination, uuid, name, listen } = await fresh()
    try {
      const plan = { copyDisks: [], paused: false }
      const begun = await source.libvirt.beginMigration(uuid, plan)
      const prepared = await destination.libvirt.prepareMigration(begun.xml, listen, begun.cookie, plan)
      await destination.libvirt.finishMigration(name, prepared.cookie, plan, true).catch(() => {}) // libvirt answers that there is no domain, as asked
      await source.libvirt.confirmMigration(uuid, '', plan, true).catch(() => {})
      assert.equal(await stateOf(destination, uuid), undefined)
      assert.equal(await stateOf(source, uuid), 'running')
      await assert.rejects(source.libvirt.abortMigration(uuid), { status: 409 })
      assert.equal(await source.libvirt.migrationProgress(uuid), null)
    } finally {
      await clear({ source, destination, uuid })
    }
  })
}
