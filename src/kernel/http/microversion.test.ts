import assert from 'node:assert/strict'
import { test } from 'node:test'
import { negotiate, Version } from './microversion.ts'

const compute = { service: 'compute', min: '2.1', max: '2.93', legacyHeader: 'X-OpenStack-Nova-API-Version' }
const asked = (headers: Record<string, string | string[]>) => String(negotiate(compute, headers))

test('versions compare by number, not as text', () => {
  const version = Version.parse('2.9')!
  assert.ok(!version.atLeast('2.10'))
  assert.ok(version.atMost('2.10'))
  assert.ok(version.atLeast('2.9') && version.atMost('2.9'))
  assert.ok(Version.parse('3.0')!.atLeast('2.93'))
  for (const text of ['2', '2.', 'v2.1', '2.1.1', ' 2.1', '', '-2.1']) assert.equal(Version.parse(text), null, text)
})

test('without a header the minimum; latest is the maximum', () => {
  assert.equal(asked({}), '2.1')
  assert.equal(asked({ 'openstack-api-version': 'compute latest' }), '2.93')
  assert.equal(asked({ 'openstack-api-version': 'Compute  2.40' }), '2.40')
})

test('of several services the own one counts; the older header when there is none', () => {
  assert.equal(asked({ 'openstack-api-version': 'volume 3.60, compute 2.50' }), '2.50')
  assert.equal(asked({ 'openstack-api-version': ['volume 3.60', 'compute 2.51'] }), '2.51')
  assert.equal(asked({ 'openstack-api-version': 'volume 3.60' }), '2.1')
  assert.equal(asked({ 'x-openstack-nova-api-version': '2.12' }), '2.12')
  assert.equal(asked({ 'openstack-api-version': 'compute 2.13', 'x-openstack-nova-api-version': '2.12' }), '2.13')
})

test('malformed is 400, out of range 406 with the range', () => {
  assert.throws(() => asked({ 'openstack-api-version': 'compute two' }), { status: 400, code: 'InvalidAPIVersionString' })
  for (const version of ['2.94', '2.0', '3.1', '1.99'])
    assert.throws(() => asked({ 'openstack-api-version': `compute ${version}` }), {
      status: 406,
      details: { min_version: '2.1', max_version: '2.93' },
    })
})
