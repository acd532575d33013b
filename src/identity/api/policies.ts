const ADMIN = 'role:admin'
const READ = 'role:admin or (role:reader and system_scope:all)'
/** Whoever reads for a domain sees what is in that domain. */
const READ_IN_DOMAIN = `${READ} or (role:reader and domain_id:%(domain_id)s)`

/** Keystone's rules by default: administrators do all, users look at and change themselves. */
export const policies: Record<string, string> = {
  admin_required: ADMIN,
  owner: 'user_id:%(user_id)s',
  'identity:validate_token': '@',
  'identity:check_token': '@',
  'identity:revoke_token': '@',
  'identity:get_auth_catalog': '@',
  'identity:get_auth_projects': '@',
  'identity:get_auth_domains': '@',
  'identity:get_auth_system': '@',
  ...Object.fromEntries(
    ['project', 'domain', 'user', 'group', 'role', 'service', 'endpoint', 'region'].flatMap((noun) => [
      [`identity:get_${noun}`, READ],
      [`identity:list_${noun}s`, READ],
      [`identity:create_${noun}`, ADMIN],
      [`identity:update_${noun}`, ADMIN],
      [`identity:delete_${noun}`, ADMIN],
    ]),
  ),
  'identity:list_projects': READ_IN_DOMAIN,
  'identity:list_users': READ_IN_DOMAIN,
  'identity:list_groups': READ_IN_DOMAIN,
  'identity:get_project': `${READ} or project_id:%(target.project.id)s`,
  'identity:get_domain': `${READ} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s`,
  'identity:get_user': `${READ} or user_id:%(target.user.id)s`,
  'identity:list_user_projects': `${READ} or user_id:%(target.user.id)s`,
  'identity:list_groups_for_user': `${READ} or user_id:%(target.user.id)s`,
  'identity:list_application_credentials': `${READ} or user_id:%(target.user.id)s`,
  'identity:get_application_credential': `${READ} or user_id:%(target.user.id)s`,
  'identity:create_application_credential': 'user_id:%(target.user.id)s',
  'identity:delete_application_credential': `${ADMIN} or user_id:%(target.user.id)s`,
  'identity:get_region': '@',
  'identity:list_regions': '@',
  'identity:list_users_in_group': READ,
  'identity:check_user_in_group': READ,
  'identity:add_user_to_group': ADMIN,
  'identity:remove_user_from_group': ADMIN,
  'identity:list_role_assignments': READ,
  'identity:list_implied_roles': READ,
  'identity:list_role_inference_rules': READ,
  'identity:get_implied_role': READ,
  'identity:create_implied_role': ADMIN,
  'identity:delete_implied_role': ADMIN,
  'identity:check_grant': READ,
  'identity:list_grants': READ,
  'identity:create_grant': ADMIN,
  'identity:revoke_grant': ADMIN,
}
