/** The image service's default rules, in oslo.policy's language. Targets: project_id and owner are the image's owner, member_id the viewer it is shared with. */
export const policies: Record<string, string> = {
  context_is_admin: 'role:admin',
  default: '',
  'project-member': 'role:admin or (role:member and project_id:%(project_id)s)',
  'project-reader': 'role:admin or (role:reader and project_id:%(project_id)s)',
  add_image: 'role:admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)',
  delete_image: 'rule:project-member',
  get_image:
    "role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))",
  get_images: 'rule:project-reader',
  modify_image: 'rule:project-member',
  publicize_image: 'role:admin',
  communitize_image: 'rule:project-member',
  download_image:
    "role:admin or (role:member and (project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))",
  upload_image: 'rule:project-member',
  get_member: 'role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))',
  get_members: 'role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))',
  add_member: 'rule:project-member',
  delete_member: 'rule:project-member',
  modify_member: 'role:admin or (role:member and project_id:%(member_id)s)',
  deactivate: 'rule:project-member',
  reactivate: 'rule:project-member',
  get_schemas: '',
  stores_info: '',
  metadef_default: '',
  metadef_admin: 'role:admin',
  ...Object.fromEntries(
    ['namespace', 'namespaces', 'object', 'objects', 'resource_type', 'property', 'properties', 'tag', 'tags'].map((noun) => [
      `get_metadef_${noun}`,
      'rule:metadef_default',
    ]),
  ),
  list_metadef_resource_types: 'rule:metadef_default',
  ...Object.fromEntries(
    [
      ...['namespace', 'object', 'property', 'tag'].flatMap((noun) => [`add_metadef_${noun}`, `modify_metadef_${noun}`]),
      ...['delete_metadef_namespace', 'delete_metadef_object', 'remove_metadef_property', 'delete_metadef_tag', 'delete_metadef_tags'],
      ...['add_metadef_tags', 'add_metadef_resource_type_association', 'remove_metadef_resource_type_association'],
    ].map((rule) => [rule, 'rule:metadef_admin']),
  ),
}
