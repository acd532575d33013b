import { conflict } from '../../kernel/errors/errors.ts'
import type { Route } from '../../kernel/http/route.ts'
import type { PlacementContext } from '../app/context.ts'
import { ensureClass, findClass, listClasses, removeClass, renameClass } from '../app/resource-class.ts'
import { fresh } from './fresh.ts'
import { ClassBody, ClassList, ClassView } from './schemas.ts'
import { classView } from './views.ts'

const since12 = { min: '1.2' }

export function classRoutes(context: PlacementContext): Route[] {
  return [
    {
      method: 'GET',
      path: '/resource_classes',
      doc: 'List resource classes, standard and custom',
      policy: 'placement:resource_classes:list',
      microversions: since12,
      response: ClassList,
      handler: async (request) => fresh(request, { resource_classes: (await listClasses(context)).map(classView) }),
    },
    {
      method: 'POST',
      path: '/resource_classes',
      doc: 'Create a custom resource class',
      policy: 'placement:resource_classes:create',
      microversions: since12,
      body: ClassBody,
      response: 'nothing',
      async handler(request) {
        const { name } = request.body
        if (!(await ensureClass(context, name))) throw conflict(`Conflicting resource class already exists: ${name}`)
        return fresh(request, undefined, { status: 201, headers: { Location: request.link(`/resource_classes/${name}`) } })
      },
    },
    {
      method: 'GET',
      path: '/resource_classes/:name',
      doc: 'Show a resource class',
      policy: 'placement:resource_classes:show',
      microversions: since12,
      response: ClassView,
      handler: async (request) => fresh(request, classView(await findClass(context, request.params.name!))),
    },
    {
      method: 'PUT',
      path: '/resource_classes/:name',
      doc: 'Rename a custom resource class',
      policy: 'placement:resource_classes:update',
      microversions: { min: '1.2', max: '1.6' },
      body: ClassBody,
      response: ClassView,
      async handler(request) {
        await renameClass(context, request.params.name!, request.body.name)
        return classView(request.body.name)
      },
    },
    {
      method: 'PUT',
      path: '/resource_classes/:name',
      doc: 'Create a custom resource class, if it is not there',
      policy: 'placement:resource_classes:update',
      microversions: { min: '1.7' },
      response: 'nothing',
      async handler(request) {
        const { name } = request.params
        const isNew = await ensureClass(context, name!)
        return fresh(request, undefined, { status: isNew ? 201 : 204, headers: { Location: request.link(`/resource_classes/${name}`) } })
      },
    },
    {
      method: 'DELETE',
      path: '/resource_classes/:name',
      doc: 'Delete a custom resource class that no provider has',
      policy: 'placement:resource_classes:delete',
      microversions: since12,
      response: 'nothing',
      handler: (request) => removeClass(context, request.params.name!),
    },
  ]
}
