#!/usr/bin/env bash
# What a person would type to start one guest on this host without a cloud: the same disk, plug and domain as Yun makes, for a port that is known already.
#   bare.sh DIRECTORY UUID NAME BASE PORT MAC MTU KEY XML
# XML is the definition of a guest of Yun, in which names and ids are replaced.
set -euo pipefail
dir=$1 uuid=$2 name=$3 base=$4 port=$5 mac=$6 mtu=$7 key=$8 xml=$9
short=${port:0:11}
mkdir -p "$dir/drive/openstack/latest"
chmod 711 "$dir"
qemu-img create -q -f qcow2 -F qcow2 -b "$base" "$dir/disk"
qemu-img resize -q "$dir/disk" 1G
cat >"$dir/drive/openstack/latest/meta_data.json" <<JSON
{"uuid": "$uuid", "name": "$name", "hostname": "$name", "public_keys": {"demo": "$(cat "$key.pub")"}}
JSON
genisoimage -quiet -r -J -V config-2 -o "$dir/disk.config" "$dir/drive"
ip link add "qbr$short" type bridge forward_delay 0 stp_state 0 ageing_time 0 mcast_snooping 0
ip link set "qbr$short" mtu "$mtu" up
ip link add "qvb$short" type veth peer name "qvo$short"
ip link set "qvb$short" mtu "$mtu" promisc on master "qbr$short" up
ip link set "qvo$short" mtu "$mtu" promisc on up
ovs-vsctl add-port br-int "qvo$short" -- set Interface "qvo$short" "external-ids:iface-id=$port" external-ids:iface-status=active \
  "external-ids:attached-mac=$mac" "external-ids:vm-uuid=$uuid"
virsh -q define "$xml" >/dev/null
virsh -q start "$name" >/dev/null
