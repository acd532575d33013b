import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CloudUnderTest, run } from '../cloud-under-test.ts'
import { Desk, parse, shape } from './transcript.ts'

/** A day's work with each of OpenStack's clients and Python libraries: every command succeeds or fails as there, and prints the same fields in the same order. */

for (const client of ['openstack', 'nova', 'cinder', 'neutron', 'openstacksdk', 'libcloud'])
  describe(client, () => {
    let cloud: CloudUnderTest
    let desk: Desk
    before(async () => {
      cloud = await CloudUnderTest.start()
      const [image, key] = [join(cloud.stateDir, 'image.raw'), join(cloud.stateDir, 'key')]
      writeFileSync(image, Buffer.alloc(65_536, 7))
      await run('ssh-keygen', ['-q', '-t', 'rsa', '-N', '', '-f', key])
      desk = new Desk(cloud.env)
      desk.keep('cloud', { image, key: `${key}.pub` })
    })
    after(async () => {
      await desk.close()
      await cloud.stop()
    })

    for (const section of parse(readFileSync(join(import.meta.dirname, 'transcripts', `${client}.txt`), 'utf8')))
      test(section.title, async () => {
        const wrong: object[] = []
        for (const step of section.steps) {
          const printed = shape(await desk.step(step))
          if (!step.until && printed !== step.expected) wrong.push({ line: step.line, text: step.text, printed, expected: step.expected })
        }
        assert.deepEqual(wrong, [])
      })
  })
