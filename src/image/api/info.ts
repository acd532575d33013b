import { Fault } from '../../kernel/errors/errors.ts'
import type { Route } from '../../kernel/http/route.ts'
import { CONTAINER_FORMATS, DISK_FORMATS, VISIBILITIES } from '../app/patch.ts'
import { STORE_ID } from '../app/store.ts'
import { METADEF_DOCUMENTS } from './metadef-schemas.ts'
import { ImportInfo, SchemaDocument, StoreList } from './schemas.ts'

export const IMPORT_METHODS = ['glance-direct', 'web-download']

const text = (description: string, more: object = {}) => ({ type: 'string', description, ...more })
const maybe = (description: string, more: object = {}) => ({ type: ['null', 'string'], description, ...more })

const imageSchema = {
  name: 'image',
  properties: {
    id: text('An identifier for the image', {
      pattern: '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$',
    }),
    name: maybe('Descriptive name for the image', { maxLength: 255 }),
    status: text('Status of the image', {
      readOnly: true,
      enum: ['queued', 'saving', 'active', 'killed', 'deleted', 'uploading', 'importing', 'pending_delete', 'deactivated'],
    }),
    visibility: text('Scope of image accessibility', { enum: VISIBILITIES }),
    protected: { type: 'boolean', description: 'If true, image will not be deletable.' },
    os_hidden: { type: 'boolean', description: 'If true, image will not appear in default image list response.' },
    checksum: maybe('md5 hash of image contents.', { readOnly: true, maxLength: 32 }),
    os_hash_algo: maybe('Algorithm to calculate the os_hash_value', { readOnly: true, maxLength: 64 }),
    os_hash_value: maybe('Hexdigest of the image contents using the algorithm specified by the os_hash_algo', {
      readOnly: true,
      maxLength: 128,
    }),
    owner: maybe('Owner of the image', { maxLength: 255 }),
    size: { type: ['null', 'integer'], description: 'Size of image file in bytes', readOnly: true },
    virtual_size: { type: ['null', 'integer'], description: 'Virtual size of image in bytes', readOnly: true },
    container_format: maybe('Format of the container', { enum: [null, ...CONTAINER_FORMATS] }),
    disk_format: maybe('Format of the disk', { enum: [null, ...DISK_FORMATS] }),
    created_at: text('Date and time of image registration', { readOnly: true }),
    updated_at: text('Date and time of the last image modification', { readOnly: true }),
    tags: { type: 'array', description: 'List of strings related to the image', items: { type: 'string', maxLength: 255 } },
    self: text('An image self url', { readOnly: true }),
    file: text('An image file url', { readOnly: true }),
    schema: text('An image schema url', { readOnly: true }),
    stores: text('Store in which image data resides', { readOnly: true }),
    min_ram: { type: 'integer', description: 'Amount of ram (in MB) required to boot image.' },
    min_disk: { type: 'integer', description: 'Amount of disk space (in GB) required to boot image.' },
  },
  additionalProperties: { type: 'string' },
  links: [
    { rel: 'self', href: '{self}' },
    { rel: 'enclosure', href: '{file}' },
    { rel: 'describedby', href: '{schema}' },
  ],
}

const memberSchema = {
  name: 'member',
  properties: {
    member_id: text('An identifier for the image member (tenantId)'),
    image_id: text('An identifier for the image', {
      pattern: '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$',
    }),
    created_at: text('Date and time of image member creation'),
    updated_at: text('Date and time of last modification of image member'),
    status: text('The status of this image member', { enum: ['pending', 'accepted', 'rejected'] }),
    schema: { readOnly: true, type: 'string' },
  },
}

const SCHEMAS: Record<string, object> = {
  image: imageSchema,
  images: {
    name: 'images',
    properties: {
      images: { type: 'array', items: imageSchema },
      first: { type: 'string' },
      next: { type: 'string' },
      schema: { type: 'string' },
    },
    links: [
      { rel: 'first', href: '{first}' },
      { rel: 'next', href: '{next}' },
      { rel: 'describedby', href: '{schema}' },
    ],
  },
  member: memberSchema,
  members: {
    name: 'members',
    properties: { members: { type: 'array', items: memberSchema }, schema: { type: 'string' } },
    links: [{ rel: 'describedby', href: '{schema}' }],
  },
}

/** What the service can do: its schemas, ways of importing, stores. */
export function infoRoutes(): Route[] {
  return [
    {
      method: 'GET',
      path: '/schemas/:name',
      doc: 'JSON schema of image, images, member or members',
      policy: 'get_schemas',
      response: SchemaDocument,
      handler(request) {
        const name = request.params.name!
        if (!Object.hasOwn(SCHEMAS, name))
          throw new Fault(404, 'NotFound', `There is no schema ${name}; there are ${Object.keys(SCHEMAS).join(', ')}.`)
        return SCHEMAS[name]
      },
    },
    {
      method: 'GET',
      path: '/schemas/metadefs/:name',
      doc: 'JSON schema of a kind of metadata definition',
      policy: 'get_schemas',
      response: SchemaDocument,
      handler(request) {
        const name = request.params.name!
        if (!Object.hasOwn(METADEF_DOCUMENTS, name))
          throw new Fault(404, 'NotFound', `There is no schema metadefs/${name}; there are ${Object.keys(METADEF_DOCUMENTS).join(', ')}.`)
        return METADEF_DOCUMENTS[name]
      },
    },
    {
      method: 'GET',
      path: '/info/import',
      doc: 'Ways of importing data',
      policy: 'get_schemas',
      response: ImportInfo,
      handler: () => ({ 'import-methods': { description: 'Import methods available.', type: 'array', value: IMPORT_METHODS } }),
    },
    {
      method: 'GET',
      path: '/info/stores',
      doc: 'Stores that keep image data',
      policy: 'stores_info',
      response: StoreList,
      handler: () => ({ stores: [{ id: STORE_ID, description: 'Files in the state directory', default: 'true' }] }),
    },
  ]
}
