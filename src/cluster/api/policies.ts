export const policies = {
  'cluster:join-tokens:create': 'role:admin',
  'cluster:members:list': 'role:admin',
  'cluster:members:delete': 'role:admin',
  'cluster:processes:list': 'role:admin',
}
