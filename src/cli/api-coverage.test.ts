import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { routeDocuments } from './api-coverage.ts'

const docs = join(import.meta.dirname, '../../docs')
const files = await routeDocuments()
const services = Object.entries(files).filter(([file]) => file.endsWith('.json'))

test('docs/api-coverage.md and docs/openapi/ are what the routes say', () => {
  assert.equal(services.length, 8)
  for (const [file, text] of Object.entries(files))
    assert.equal(readFileSync(join(docs, file), 'utf8'), text, `${file} is stale; run: npx yun api-coverage docs`)
  assert.deepEqual(readdirSync(join(docs, 'openapi')).sort(), services.map(([file]) => file.slice('openapi/'.length)).sort())
})

for (const [file, text] of services)
  describe(file, () => {
    const document = JSON.parse(text)
    const operations: any[] = Object.values(document.paths).flatMap((item: any) =>
      Object.entries(item).flatMap(([key, one]) => (/^(get|put|post|delete|patch)$/.test(key) ? [one] : [])),
    )

    test('is OpenAPI 3.1', async () => {
      const { valid, errors } = await new Validator().validate(structuredClone(document))
      assert.ok(valid, JSON.stringify(errors))
    })

    test('its schemas are JSON schemas, and every reference leads somewhere', () => {
      const ajv = new Ajv2020({ strict: false, validateFormats: false })
      for (const [name, schema] of Object.entries(document.components.schemas ?? {})) assert.ok(ajv.validateSchema(schema as object), name)
      for (const [, reference] of text.matchAll(/"\$ref":"#([^"]+)"/g)) {
        const steps = decodeURIComponent(reference!).split('/').slice(1)
        const found = steps.reduce((at, step) => at?.[step.replaceAll('~1', '/').replaceAll('~0', '~')], document)
        assert.ok(found, reference)
      }
    })

    test('operations have names of their own, and paths the parameters that they name', () => {
      const ids = operations.map((one) => one.operationId)
      assert.deepEqual(
        ids.filter((id, i) => ids.indexOf(id) !== i),
        [],
      )
      const shapes = Object.keys(document.paths).map((path) => path.replace(/\{\w+\}/g, '{}'))
      assert.deepEqual(
        shapes.filter((shape, i) => shapes.indexOf(shape) !== i),
        [],
      )
      for (const [path, item] of Object.entries<any>(document.paths)) {
        if (item.$ref) continue
        const named = (item.parameters ?? []).filter((one: any) => one.in === 'path').map((one: any) => one.name)
        assert.deepEqual(
          named,
          [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
          path,
        )
      }
    })
  })
