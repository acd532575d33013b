#!/bin/sh
# What a DHCP client is told, a line each, for the test that runs it.
[ "$1" = bound ] || exit 0
echo "ip=$ip"
echo "subnet=$subnet"
echo "router=$router"
echo "dns=$dns"
echo "mtu=$mtu"
