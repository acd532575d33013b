#!/bin/sh
# Moves itself into the control groups named before `--`, then becomes the program named after it.
while [ "$1" != -- ]; do
  echo $$ > "$1/cgroup.procs" || exit 125
  shift
done
shift
exec "$@"
