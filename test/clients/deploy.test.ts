import assert from 'node:assert/strict'
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import YAML from 'yaml'
import { settingsOf } from '../../src/cloud/settings.ts'
import { freePort, run } from '../cloud-under-test.ts'

const root = resolve(import.meta.dirname, '../..')
const yun = join(root, 'bin/yun')
const agent = join(root, 'deploy/ocf/yun')
const dir = mkdtempSync(join(tmpdir(), 'yun-deploy-'))
after(() => rmSync(dir, { recursive: true, force: true }))

test('yun init writes configurations that can be read, and none over another', async () => {
  for (const flags of [[], ['--cluster']]) {
    const place = join(dir, `init${flags.length}`)
    const made = await run(yun, ['init', '--dir', place, ...flags])
    assert.equal(made.code, 0, made.stderr)
    for (const file of globSync('*.yaml', { cwd: place })) {
      const settings = settingsOf({ config: join(place, file) }, 'here', { real: false })
      const shown = /^# scheduler:\n(# {3}.*\n)+/m.exec(readFileSync(join(place, file), 'utf8'))?.[0].replaceAll(/^# /gm, '')
      if (shown) assert.deepEqual(YAML.parse(shown).scheduler, settings.scheduler, `${file} shows the defaults`)
      assert.equal(shown !== undefined, file === 'control.yaml')
      assert.equal(statSync(join(place, file)).mode & 0o777, 0o600)
    }
    const again = await run(yun, ['init', '--dir', place, ...flags])
    assert.equal(again.code, 1)
    assert.match(again.stderr, /is there already/)
  }
  assert.equal((await run('haproxy', ['-c', '-f', join(dir, 'init1', 'haproxy.cfg')])).code, 0)
})

test('what the systemd units start there is', async () => {
  const units = globSync(join(root, 'deploy/systemd/*.service'))
  assert.equal(units.length, 2)
  for (const unit of units) {
    const [, command] = /^ExecStart=\/opt\/yun\/bin\/yun (\w+) --config \/etc\/yun\/\1\.yaml$/m.exec(readFileSync(unit, 'utf8')) ?? []
    assert.ok(command, unit)
    assert.equal((await run(yun, [command, '--help'])).code, 0)
  }
})

test('the OCF agent: meta-data, validate-all, monitor, start, stop', async () => {
  const config = join(dir, 'control.yaml')
  const env = { OCF_RESKEY_role: 'control', OCF_RESKEY_config: config, OCF_RESKEY_state: join(dir, 'state'), OCF_RESKEY_yun: yun }
  const act = async (action: string, more = {}) => (await run(agent, [action], { ...env, ...more })).code
  const { stdout } = await run(agent, ['meta-data'], env)
  for (const action of ['start', 'stop', 'monitor', 'meta-data', 'validate-all'])
    assert.match(stdout, new RegExp(`<action name="${action}"`))
  assert.equal(await act('validate-all'), 6, 'no configuration yet')
  writeFileSync(config, `port: ${await freePort()}\n`)
  assert.equal(await act('validate-all'), 0)
  assert.equal(await act('validate-all', { OCF_RESKEY_yun: '/nowhere/yun' }), 5)
  assert.equal(await act('validate-all', { OCF_RESKEY_role: 'butler' }), 6)
  assert.equal(await act('monitor'), 7)
  assert.equal(await act('stop'), 0, 'to stop what does not run is no error')
  assert.equal(await act('start'), 0)
  assert.equal(await act('monitor'), 0)
  assert.equal(await act('start'), 0, 'it runs already')
  assert.equal(await act('stop'), 0)
  assert.equal(await act('monitor'), 7)
  assert.equal(await act('promote'), 3)
})
