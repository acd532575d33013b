import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mapperPath, readLogicalVolumes } from './commands.ts'

test('reads what lvs reports', () => {
  const json = `{ "report": [ { "lv": [
    {"lv_name":"pool", "lv_size":"1073741824", "origin_size":"", "origin":"", "pool_lv":"", "lv_device_open":"", "data_percent":"12.50"},
    {"lv_name":"volume-1", "lv_size":"2147483648", "origin_size":"", "origin":"", "pool_lv":"pool", "lv_device_open":"open", "data_percent":"0.00"},
    {"lv_name":"_snapshot-1", "lv_size":"1098907648", "origin_size":"1073741824", "origin":"volume-2", "pool_lv":"", "lv_device_open":"", "data_percent":"0.01"}
  ] } ] }`
  assert.deepEqual(readLogicalVolumes(json), [
    { name: 'pool', bytes: 1073741824, originBytes: null, origin: null, pool: null, open: false, dataPercent: 12.5 },
    { name: 'volume-1', bytes: 2147483648, originBytes: null, origin: null, pool: 'pool', open: true, dataPercent: 0 },
    { name: '_snapshot-1', bytes: 1098907648, originBytes: 1073741824, origin: 'volume-2', pool: null, open: false, dataPercent: 0.01 },
  ])
})

test('device mapper doubles the dashes within a name', () => {
  assert.equal(mapperPath('yun-volumes', '_snapshot-1-2', 'cow'), '/dev/mapper/yun--volumes-_snapshot--1--2-cow')
  assert.equal(mapperPath('vg', 'lv'), '/dev/mapper/vg-lv')
})
