#!/bin/sh
# Makes the volume's workspace where there is none, and gives it this deployment's settings. Doing it again changes nothing.
set -eu
if [ ! -f "$EDITLOOM_WORKSPACE/params.yaml" ]; then
    editloom new "$EDITLOOM_WORKSPACE" --preset "$EDITLOOM_PRESET"
fi
cd "$EDITLOOM_WORKSPACE"

# Settings of this machine alone: .dvc/config.local is not versioned.
dvc remote add --quiet --force --local --default store "$EDITLOOM_DVC_URL"
[ -z "$EDITLOOM_DVC_ENDPOINT" ] || dvc remote modify --quiet --local store endpointurl "$EDITLOOM_DVC_ENDPOINT"
[ -z "$EDITLOOM_DVC_REGION" ] || dvc remote modify --quiet --local store region "$EDITLOOM_DVC_REGION"

home="$EDITLOOM_WORKSPACE/.editloom/dagster"
mkdir -p "$home"
cp "$EDITLOOM_DAGSTER_YAML" "$home/.dagster.yaml.new"
mv "$home/.dagster.yaml.new" "$home/dagster.yaml"
