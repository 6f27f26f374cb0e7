#!/bin/sh
# Runs a command, and before it, where bulk steps go to Ray, makes this pod a node of the cluster that takes no steps:
# whoever sends steps to Ray has to be one of its nodes.
set -eu
if [ "${EDITLOOM_EXECUTOR:-local}" = ray ]; then
    ray start --address="$EDITLOOM_RAY_ADDRESS" --num-cpus=0 --num-gpus=0 \
        --object-store-memory=268435456 --disable-usage-stats
fi
exec "$@"
