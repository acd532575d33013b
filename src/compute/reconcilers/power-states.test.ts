import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { ComputeContext } from '../app/context.ts'
import { stateOf } from '../app/scheduler/host-states.ts'
import { findInstance, updateInstance } from '../db/instances.ts'
import { COMPUTE_CONTROL, control } from '../rpc.ts'
import { eventually, Yard } from '../sagas/testing.ts'
import { powerStateReconciler } from './power-states.ts'

let yard: Yard
before(async () => {
  yard = await Yard.open()
})
after(() => yard.cloud.stop())

/** A server whose guest was switched off without a word. */
async function silentlyOff(): Promise<string> {
  const id = await yard.server()
  await yard.cloud.api('POST', `/compute/v2.1/servers/${id}/action`, { 'os-stop': null })
  await yard.settled()
  const { db } = yard.context.database
  const told = async () => stateOf(await db.selectFrom('hosts').selectAll().executeTakeFirstOrThrow()).instances[id]
  assert.equal(await eventually(told, (power) => power === 'shutdown'), 'shutdown')
  await updateInstance(db, id, { vm_state: 'active', power_state: 1 })
  return id
}

async function reconcile(context: ComputeContext): Promise<string[]> {
  const reconciler = powerStateReconciler(context)
  reconciler.start()
  const { lastError } = await reconciler.settle()
  await reconciler.stop()
  assert.equal(lastError, null)
  return reconciler.status().lastChanges
}

const statusOf = async (id: string) => (await yard.cloud.api('GET', `/compute/v2.1/servers/${id}`)).server.status

test('a server follows a guest that went off while nobody listened', async () => {
  const id = await silentlyOff()
  assert.equal(await statusOf(id), 'ACTIVE')
  await reconcile(yard.context)
  assert.equal(await statusOf(id), 'SHUTOFF')
  assert.deepEqual(await reconcile(yard.context), [])
})

test('a row that an operation touched while the host was asked is left alone', async () => {
  const id = await silentlyOff()
  const bus = Object.create(yard.context.bus)
  bus.call = async (...args: Parameters<typeof bus.call>) => {
    await updateInstance(yard.context.database.db, id, { task_state: 'rebooting' })
    return await yard.context.bus.call(...(args as Parameters<ComputeContext['bus']['call']>))
  }
  await reconcile({ ...yard.context, bus })
  assert.equal(await statusOf(id), 'REBOOT')
  await updateInstance(yard.context.database.db, id, { task_state: null })
})

test('late word that a guest came up paused is overtaken by word that it runs', async () => {
  const id = await yard.server()
  const { host } = (await findInstance(yard.context.database.db, id))!
  const say = (powerState: 'paused' | 'running') =>
    yard.cloud.bus.call(COMPUTE_CONTROL, control.powerChanged, {
      host: host!,
      uuid: id,
      powerState,
      event: 'test',
      at: new Date().toISOString(),
    })
  const state = async () => (await findInstance(yard.context.database.db, id))!.vm_state
  await say('paused')
  assert.equal(await state(), 'paused')
  await say('running')
  assert.equal(await state(), 'active')
  await yard.remove(id)
})
