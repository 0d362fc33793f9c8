# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Rancher's local-path-provisioner, as k3s has it, on the test bed. Sourced after xebec.bash by tests and by the quickstart; needs
# $root, $work and $XEBEC_BED.
PROVISIONER=docker.io/rancher/local-path-provisioner:v0.0.30
PROVISIONED=/var/lib/xebec-local # on each node; $XEBEC_BED/nodeN/local from outside

provisioner_image() {
    local tree=$work/provisioner
    mkdir -p "$tree/tmp" && cp "$("$root/tests/tools/build" local-path 2>/dev/null | tail -n 1)/local-path-provisioner" "$tree/" &&
        "$root/tests/cluster/mkimage" $PROVISIONER "$tree" "$work/image-provisioner.tar" /local-path-provisioner && bed import "$work/image-provisioner.tar"
}

# The default class. Velero leaves hostPath volumes out, which the provisioner makes if nothing else is said.
provisioner() { # local|hostPath
    local what=()
    [ "$1" = local ] || what=(-e 's/, defaultVolumeType: local//')
    sed -e '' "${what[@]}" "$root/tests/cluster/lib/local-path.yaml" | kubectl apply -f - >/dev/null &&
        kubectl -n local-path-storage rollout status deploy/local-path-provisioner --timeout=180s
}

# deploy's component that has the agents read the provisioner's folder, with that of the test bed.
provisioner_component() { # folder
    mkdir -p "$1" && sed "s|/opt/local-path-provisioner|$PROVISIONED|" "$root/deploy/components/local-path/kustomization.yaml" >"$1/kustomization.yaml"
}
