const paths: Record<string, string[]> = {
  resource_providers: ['list', 'create', 'show', 'update', 'delete'],
  'resource_providers:inventories': ['list', 'create', 'show', 'update', 'delete'],
  'resource_providers:aggregates': ['list', 'update'],
  'resource_providers:traits': ['list', 'update', 'delete'],
  resource_classes: ['list', 'create', 'show', 'update', 'delete'],
  traits: ['list', 'show', 'update', 'delete'],
  allocations: ['list', 'manage', 'update', 'delete'],
  'resource_providers:allocations': ['list'],
  allocation_candidates: ['list'],
}

/** The placement service's default rules, in oslo.policy's language: administrators and other services only, but for a project's own usage. */
export const policies: Record<string, string> = {
  admin_or_service_api: 'role:admin or role:service',
  ...Object.fromEntries(
    Object.entries(paths).flatMap(([path, verbs]) => verbs.map((verb) => [`placement:${path}:${verb}`, 'rule:admin_or_service_api'])),
  ),
  'placement:resource_providers:usages': 'rule:admin_or_service_api',
  'placement:usages': 'rule:admin_or_service_api or (role:reader and project_id:%(project_id)s)',
}
