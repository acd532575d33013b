import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CloudUnderTest } from '../cloud-under-test.ts'

test('with certificates the APIs speak HTTPS, and openrc and our own commands know whom to trust', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'yun-tls-'))
  const [key, cert, config] = ['key.pem', 'cert.pem', 'yun.yaml'].map((name) => join(folder, name)) as [string, string, string]
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, '-days', '2', ...name], { stdio: 'ignore' })
  writeFileSync(config, `tls:\n  cert: ${cert}\n  key: ${key}\n`)
  const cloud = await CloudUnderTest.start(['--hypervisor', 'simulated', '--config', config])
  try {
    assert.match(cloud.said, /https:\/\/127\.0\.0\.1/)
    assert.match((await cloud.yun('status')).stdout, /nova-compute/)
    assert.equal((await cloud.json('openstack', 'hypervisor', 'list')).length, 1)
  } finally {
    await cloud.stop()
    rmSync(folder, { recursive: true })
  }
})
