import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NewTarget, TargetDriver } from './driver.ts'

/** What tgtd and its twin keep to. `login` tries to log in as an initiator does. */
export function targetContract(
  make: () => Promise<{
    driver: TargetDriver
    path: string
    login: (iqn: string, username: string, secret: string) => Promise<void> | void
  }>,
): void {
  const iqn = 'iqn.2010-10.org.openstack:volume-11111111-1111-4111-8111-111111111111'
  const wanted = (path: string): NewTarget => ({ iqn, path, secret: 'abcdefghijklmnop', readOnly: false })
  const shown = async (driver: TargetDriver) =>
    (await driver.list()).filter((one) => one.iqn === iqn).map(({ initiators: _, ...rest }) => rest)

  test('a target is made once, listed without its secret, opens to CHAP only, and goes', async () => {
    const { driver, path, login } = await make()
    await driver.remove(iqn)
    const made = await driver.ensure(wanted(path))
    assert.deepEqual(made, { lun: 1, username: 'volume-11111111-1111-4111-8111-111111111111' })
    assert.deepEqual(await driver.ensure(wanted(path)), made)
    assert.deepEqual(await shown(driver), [{ iqn, path, username: made.username, readOnly: false, open: true }])
    await login(iqn, made.username, 'abcdefghijklmnop')
    await assert.rejects(async () => login(iqn, made.username, 'wrong-wrong-wrong'), /Authentication failure/)
    await driver.remove(iqn)
    await driver.remove(iqn)
    assert.deepEqual(await shown(driver), [])
  })

  test('another path or mode makes it anew', async () => {
    const { driver, path } = await make()
    await driver.ensure(wanted(path))
    await driver.ensure({ ...wanted(path), readOnly: true })
    assert.deepEqual(
      (await shown(driver)).map((one) => one.readOnly),
      [true],
    )
    await driver.remove(iqn)
  })

  test('several at once get along', async () => {
    const { driver, path } = await make()
    const iqns = [1, 2, 3, 4].map((n) => `iqn.2010-10.org.openstack:volume-${n}`)
    await Promise.all(iqns.map((one) => driver.ensure({ ...wanted(path), iqn: one })))
    assert.deepEqual(
      (await driver.list())
        .map((one) => one.iqn)
        .filter((one) => iqns.includes(one))
        .sort(),
      iqns,
    )
    await Promise.all(iqns.map((one) => driver.remove(one)))
    assert.deepEqual(
      (await driver.list()).filter((one) => iqns.includes(one.iqn)),
      [],
    )
  })
}
