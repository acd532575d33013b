/** A rule of the network service as compute showed it: ingress only, -1 for every ICMP type, the remote group by its name. */
export function ruleView(rule: any, groups: { id: string; name: string; project_id: string }[]) {
  const remote = groups.find(({ id }) => id === rule.remote_group_id)
  const every = rule.protocol === 'icmp' || rule.protocol === 'icmpv6' ? -1 : null
  return {
    id: rule.id,
    parent_group_id: rule.security_group_id,
    ip_protocol: rule.protocol,
    from_port: rule.port_range_min ?? every,
    to_port: rule.port_range_max ?? every,
    group: remote ? { name: remote.name, tenant_id: remote.project_id } : {},
    ip_range: rule.remote_group_id ? {} : { cidr: rule.remote_ip_prefix ?? (rule.ethertype === 'IPv6' ? '::/0' : '0.0.0.0/0') },
  }
}
