# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A test bed for Velero's own end-to-end suite, with what its specs expect to find, and how one group of specs is run on it. Sourced
# after cluster/lib/{xebec,faults,stock,provisioner}.bash and harness/s3.bash; needs $work, $root, $XEBEC_BED and pids=().
e2e=$root/tests/e2e
SUITE_BUSYBOX=docker.io/library/busybox:1.37.0
PLUGIN=docker.io/xebec/velero-plugin-for-aws:1
KIBISHII=docker.io/xebec/kibishii:1
XEBEC_IMAGE=docker.io/xebec/xebec:dev
PLATFORM=vanilla-zfs # the suite leaves all volumes out on the platform `kind`

tool() { "$root/tests/tools/build" "$1" 2>>"$work/tools.log" | tail -n 1; }

# Everything that takes minutes where nothing is cached, before a bed is up.
need_tools() {
    local name path
    for name in kubernetes velero velero-aws versitygw local-path velero-e2e; do
        path=$(tool $name)
        [ -d "${path:-/nowhere}" ] || { tail -n 20 "$work/tools.log"; return 1; }
    done
    versitygw=$(tool versitygw)/versitygw
}

image_of() { # name folder command...
    local out
    out=$work/image-$(basename "$2").tar
    "$root/tests/cluster/mkimage" "$1" "$2" "$out" "${@:3}" && bed import "$out"
}

suite_images() {
    local tree=$work/images
    mkdir -p "$tree"/{plugin/plugins,plugin/bin} && cp -R "$XEBEC_BED/images/busybox" "$tree/busybox" &&
        rm "$tree/busybox/bin/sleep" && cp "$e2e/sleep" "$tree/busybox/bin/" && cp -R "$tree/busybox" "$tree/kibishii" &&
        cp -R "$e2e/kibishii/image/." "$tree/kibishii/" &&
        cp "$(tool velero-aws)/velero-plugin-for-aws" "$tree/plugin/plugins/" && cp "$(command -v busybox)" "$tree/plugin/bin/" || return 1
    image_of $SUITE_BUSYBOX "$tree/busybox" sh && image_of $KIBISHII "$tree/kibishii" sh && provisioner_image &&
        "$root/tests/cluster/mkimage" --entrypoint $PLUGIN "$tree/plugin" "$work/image-plugin.tar" \
            /bin/busybox cp /plugins/velero-plugin-for-aws /target/ && bed import "$work/image-plugin.tar"
}

# The suite reads files beside its program, and writes some into its folders: it works on a copy. It leaves temporary files.
suite_folder() {
    mkdir "$work/tmp" && cp -R "$(tool velero-e2e)/test" "$work/" && cp -R "$e2e/kibishii" "$work/" &&
        cp "$e2e/storage-class.yaml" "$work/test/testdata/storage-class/$PLATFORM.yaml"
}

# The bed, with its parts. The suite's own code speaks to an S3 server that is not AWS only where the region is "minio".
suite_bed() {
    s3_region=minio
    bed up && bed_s3 "$XEBEC_BED/s3" 7070 && mkdir "$XEBEC_BED/s3/first" "$XEBEC_BED/s3/second" &&
        s3_credentials "$work/credentials" && suite_images && suite_folder && provisioner local
}

subject_image() { # velero|xebec: sets $image
    case $1 in
    velero) image=$STOCK_IMAGE && stock_image ;;
    xebec) image=$XEBEC_IMAGE && xebec_image "$work" ;;
    esac
}

# A second cluster, for specs that go from one to another: a bed of its own with the same images, and the same buckets at the same
# address. A cable joins the two networks, for the suite alone. Sets the suite's context to both clusters.
CABLE=10.98.0
standby_bed() {
    local first second
    (
        first=$XEBEC_BED
        XEBEC_BED=$XEBEC_BED-standby
        bed up && ln -s "$first/s3" "$XEBEC_BED/s3" && bed_s3 "$XEBEC_BED/s3" 7070 && bed import "$work"/*.tar && provisioner local
    ) || return 1
    first=$(bed_network "$XEBEC_BED") && second=$(bed_network "$XEBEC_BED-standby") &&
        ip link add cable netns "$first" type veth peer name cable netns "$second" &&
        plug "$XEBEC_BED" 1 && plug "$XEBEC_BED-standby" 2 && both_contexts >"$work/both.kubeconfig" || return 1
    suite_context=$work/both.kubeconfig
    two_clusters=(-default-cluster-context=bed -standby-cluster-context=standby -standby-cluster-cloud-provider=$PLATFORM
        -migrate-from-velero-cli="$(tool velero)/velero" -migrate-from-velero-version=v1.18.3)
}
bed_network() { bash -c '. "$1/state.env" && echo "$XEBEC_BED_NET_PID"' bed "$1"; } # bed
plug() { XEBEC_BED=$1 bed netns ip address add $CABLE.$2/24 dev cable && XEBEC_BED=$1 bed netns ip link set cable up; } # bed number

# Both beds call their cluster by the same names, and have it at the same address.
both_contexts() {
    sed -e '/-data:/!{s/\<bed\>/standby/; s/\<bed\>/standby/; s/\<admin\>/standby/}' \
        -e "s|server: .*|server: https://$CABLE.2:443\n    tls-server-name: kubernetes|" \
        "$XEBEC_BED-standby/pki/admin.kubeconfig" >"$work/standby.kubeconfig" &&
        bed netns env KUBECONFIG="$XEBEC_BED/pki/admin.kubeconfig:$work/standby.kubeconfig" kubectl config view --raw --flatten
}

standby_down() {
    suite_context='' two_clusters=()
    XEBEC_BED=$XEBEC_BED-standby bed down >/dev/null
}

# One run of the suite: it installs what it tests by `velero install`, with the image that it is given.
suite_context='' two_clusters=()
run_suite() { # seconds out label-filter
    local config=region=minio,s3ForcePathStyle=true,s3Url=$s3_url
    (cd "$work/test/e2e" && HOME=$XEBEC_BED/home TMPDIR=$work/tmp bed netns env ${suite_context:+KUBECONFIG="$suite_context"} \
        timeout --kill-after=30 $(($1 + 120)) \
        "$(tool velero-e2e)/e2e.test" \
        -ginkgo.timeout="$1s" -ginkgo.label-filter="$3" -ginkgo.json-report="$2.json" -ginkgo.no-color -ginkgo.v \
        -velerocli="$(tool velero)/velero" -velero-image="$image" -plugins=$PLUGIN -velero-version=v1.18.3 \
        -velero-namespace=velero -install-velero=true -fail-fast=false \
        -cloud-provider=$PLATFORM -object-store-provider=aws -bucket=first -prefix=e2e -bsl-config="$config" \
        -vsl-config=region=minio -credentials-file="$work/credentials" \
        -additional-bsl-object-store-provider=aws -additional-bsl-bucket=second -additional-bsl-prefix=more \
        -additional-bsl-config="$config" -additional-bsl-credentials-file="$work/credentials" \
        -additional-bsl-plugins=$PLUGIN -kibishii-directory="$work/kibishii/" "${two_clusters[@]}") >"$2.log" 2>&1 </dev/null &
    wait $! # not in the foreground, or a signal would wait for its end; taking the bed down ends it
}

# What a group that was killed, or failed, leaves in the cluster: the next one starts without it.
sweep() {
    local one
    kubectl delete storageclass e2e-storage-class e2e-storage-class-2 kibishii-storage-class --ignore-not-found >/dev/null
    kubectl delete priorityclass data-mover repo-maintenance --ignore-not-found >/dev/null
    if kubectl get namespace velero >/dev/null 2>&1; then
        HOME=$XEBEC_BED/home velero uninstall --force --wait >/dev/null 2>&1
    fi
    for one in $(kubectl get namespaces -o name | grep -vE '/(default|kube-.*|local-path-storage)$'); do
        kubectl delete "$one" --timeout=60s >/dev/null 2>&1
    done
    rm -rf "$XEBEC_BED/s3/first/e2e" "$XEBEC_BED/s3/second/more"
}
