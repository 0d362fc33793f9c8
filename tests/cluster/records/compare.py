#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what two restores of the same backup have left in a cluster, object by object and field by field.

usage: compare.py WANT GOT        each a folder, beside base.json, which has what was there before and is left out, with
         objects.json     all objects, as `kubectl get KINDS -A -o json --show-managed-fields` gives them
         restore.json     the Restore, and orders.json its PodVolumeRestores
         record/          the restore's files in the bucket
WANT is Velero's. Prints every difference, how often each difference on purpose was met, and a line that counts; exit status 1 if
there is any other. What cannot be the same twice is taken out first: NOT_THE_SAME_TWICE says what and why.
"""
import glob
import gzip
import json
import os
import re
import sys

# ---- what differs from restore to restore, whoever restores ----

NOT_THE_SAME_TWICE = {
    # metadata, by the API server
    "metadata.uid": "given at creation; wherever else it stands, it becomes the name of the object",
    "metadata.resourceVersion": "a counter",
    "metadata.generation": "counts the writes of whoever wrote, controllers included",
    "metadata.creationTimestamp": "the time",
    "metadata.managedFields": "times, and what controllers have written since; entries of kubectl apply are compared",
    # what the API server chooses
    "clusterIP, clusterIPs": "from a pool, but for None",
    "nodePort, healthCheckNodePort": "from a pool, but for those below 30086, which are kept for who chooses one",
    "kube-api-access-* volumes": "a name with random letters in pods that a controller makes",
    "token Secrets' data": "the token controller's",
    # what controllers say
    "status": "of kinds whose controllers or kubelets write it; but for the phase",
    "names of what a controller makes": "random letters; counted instead",
    "EndpointSlices and subsets of Endpoints with a selector": "addresses of pods, whose names are given anew",
    "labels of ServiceAccount default and ConfigMap kube-root-ca.crt": "a controller makes them, too: who is faster",
    "annotation pv.kubernetes.io/bind-completed": "an update takes it away, and the volume controller puts it back when it comes by",
    "a pod's node": "the scheduler's choice",
    "volumes' names": "by uid of the claim where they are provisioned",
    # what the restore writes of itself
    "velero.io/restore-name": "each has its own name",
}

PHASES = {"Pod", "Namespace", "PersistentVolume", "PersistentVolumeClaim"}
OWN_STATUS = {"Service", "Ingress", "Widget", "Gauge", "Station"}  # nobody in this cluster but the restore writes it
CHOSEN_PORTS = range(30000, 30086)
FROM_POOL = "(from a pool)"
OF_THE_API_SERVER = {"IPAddress"}  # one for each Service's address
INSTALLED = ("ClusterRoleBinding.rbac.authorization.k8s.io", "", "velero")  # Velero's own
RANDOM_SLICE = re.compile(r"^discovery.k8s.io/v1/EndpointSlice \S+-[a-z0-9]{5}\(")
EMPTY = (None, 0, False, "", {}, [])


def key_of(item):
    group = item["apiVersion"].rpartition("/")[0]
    meta = item["metadata"]
    return ".".join(filter(None, (item["kind"], group))), meta.get("namespace", ""), meta["name"]


def label(item, name):
    return item["metadata"].get("labels", {}).get(name)


def by_controller(item):
    """A controller made it, not the restore."""
    return "generateName" in item["metadata"] and label(item, "velero.io/restore-name") is None


def of_endpoints_controller(item):
    return item["kind"] == "EndpointSlice" and str(label(item, "endpointslice.kubernetes.io/managed-by")).endswith("controller.k8s.io")


def is_made_by_both(kind, name):
    return (kind, name) in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"))


def strip_metadata(item):
    meta = item["metadata"]
    for field in ("uid", "resourceVersion", "generation", "creationTimestamp"):
        meta.pop(field, None)
    entries = [e for e in meta.pop("managedFields", []) if e["operation"] == "Apply"]
    for entry in entries:
        entry.pop("time", None)
    if entries:
        meta["managedFields"] = sorted(entries, key=json.dumps)
    if "velero.io/restore-name" in meta.get("labels", {}):
        meta["labels"]["velero.io/restore-name"] = "(the restore)"
    for name in ("endpoints.kubernetes.io/last-change-trigger-time", "pv.kubernetes.io/bind-completed"):
        meta.get("annotations", {}).pop(name, None)
    if not meta.get("annotations", True):
        del meta["annotations"]
    if is_made_by_both(item["kind"], meta["name"]):
        meta.pop("labels", None)
    if by_controller(item):
        meta["name"] = meta["generateName"] + "*"


def strip_status(item):
    status = item.pop("status", None)
    if status and item["kind"] in PHASES:
        item["status"] = {"phase": status.get("phase")}
    elif status and item["kind"] in OWN_STATUS:
        item["status"] = status


def strip_service(item):
    spec = item["spec"]
    if spec.get("clusterIP", "None") not in ("None", ""):
        spec["clusterIP"], spec["clusterIPs"] = FROM_POOL, [FROM_POOL]
    for holder in [spec, *spec.get("ports", [])]:
        for field in ("nodePort", "healthCheckNodePort"):
            if holder.get(field) and holder[field] not in CHOSEN_PORTS:
                holder[field] = FROM_POOL


def strip_pod(item):
    item["spec"].pop("nodeName", None)
    for volume in item["spec"].get("volumes", []):
        if volume["name"].startswith("kube-api-access-"):
            volume["name"] = "kube-api-access-*"
    for container in item["spec"]["containers"] + item["spec"].get("initContainers", []):
        for mount in container.get("volumeMounts", []):
            if mount["name"].startswith("kube-api-access-"):
                mount["name"] = "kube-api-access-*"
        if container["name"] == "restore-wait":
            container["args"] = ["(the restore's uid)" for _ in container.get("args", [])]
            container["volumeMounts"].sort(key=lambda mount: mount["mountPath"])  # Velero: in no order


def strip_volume(item):
    item["spec"].get("claimRef", {}).pop("resourceVersion", None)


def strip_secret(item):
    if item["type"] == "kubernetes.io/service-account-token":
        item["data"] = sorted(item.get("data", {}))


def strip_endpoints(item, with_selector):
    if item["metadata"]["name"] in with_selector:
        item.pop("subsets", None)


STRIP = {"Service": strip_service, "Pod": strip_pod, "PersistentVolume": strip_volume, "Secret": strip_secret}


def renamed(text, names):
    """The text with every uid and random name replaced by what it stands for."""
    for old, new in names:
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    return text


def normal(items):
    """key -> objects (more than one only of what controllers make)."""
    with_selector = {i["metadata"]["name"] for i in items if i["kind"] == "Service" and i["spec"].get("selector")}
    names = []
    for item in items:
        kind, namespace, name = key_of(item)
        if by_controller(item):
            names.append((name, item["metadata"]["generateName"] + "*"))
        elif item["kind"] == "PersistentVolume" and item["spec"].get("claimRef", {}).get("uid") and name.startswith("pvc-"):
            claim = item["spec"]["claimRef"]
            names.append((name, f"(volume of {claim['namespace']}/{claim['name']})"))
        names.append((item["metadata"]["uid"], f"(uid of {kind} {namespace}/{name})"))
    # Longest first: a name may be part of another, and a volume's holds a uid.
    names.sort(key=lambda pair: -len(pair[0]))
    found = {}
    for item in json.loads(renamed(json.dumps([i for i in items if not of_endpoints_controller(i)]), names)):
        strip_metadata(item)
        strip_status(item)
        STRIP.get(item["kind"], lambda _: None)(item)
        if item["kind"] == "Endpoints":
            strip_endpoints(item, with_selector)
        found.setdefault(key_of(item), []).append(item)
    for same_name in found.values():
        same_name.sort(key=lambda i: json.dumps(i, sort_keys=True))
    return found


# ---- the record ----


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def gz(folder, end):
    for path in glob.glob(f"{folder}/record/*{end}"):
        with gzip.open(path) as file:
            return json.load(file)
    return None


def results(folder):
    """Of how many messages which: their words are each program's own."""
    found = gz(folder, "-results.gz") or {}
    return {level: {scope: {n: len(m) for n, m in one.items()} if isinstance(one, dict) else len(one)
                    for scope, one in (found.get(level) or {}).items() if one} for level in ("errors", "warnings")}


def resource_list(folder, names):
    """kind -> object -> what became of it."""
    return {kind: dict(renamed(n, names).rstrip(")").rsplit("(", 1) for n in one if not RANDOM_SLICE.search(f"{kind} {n}")
                       and not is_made_by_both(kind.rpartition("/")[2], re.sub(r".*/|\(.*", "", n)))
            for kind, one in (gz(folder, "resource-list.json.gz") or {}).items()}


def volumes(folder, names):
    return {f"{v['pvrInfo'].get('podNamespace')}/{v['pvrInfo'].get('podName')} {v['pvrInfo'].get('volumeName')}" if "pvrInfo" in v
            else v.get("pvName", "?"): json.loads(renamed(json.dumps(v), names)) for v in gz(folder, "volumeinfo.json.gz") or []}


def orders(folder):
    found = {}
    for one in load(f"{folder}/orders.json")["items"]:
        spec, status = one["spec"], one.get("status", {})
        pod = spec["pod"]
        spec["pod"] = {k: pod.get(k) for k in ("kind", "namespace", "name")}
        found[f"{pod['namespace']}/{pod['name']} {spec['volume']}"] = {
            "spec": spec, "labels": sorted(one["metadata"]["labels"]), "generateName": "generateName" in one["metadata"],
            "owners": [(o["kind"], o.get("controller", False)) for o in one["metadata"].get("ownerReferences", [])],
            "status": {"phase": status.get("phase"), "progress": status.get("progress")}}
    return found


class Side:
    def __init__(self, folder):
        before = {key_of(i) for i in load(f"{folder}/../base.json")["items"]}
        namespaces = {name for kind, _, name in before if kind == "Namespace"}
        items = [i for i in load(f"{folder}/objects.json")["items"] if key_of(i) not in before and key_of(i)[1] not in namespaces
                 and i["kind"] not in OF_THE_API_SERVER and key_of(i) != INSTALLED] if os.path.exists(f"{folder}/objects.json") else []
        restore = load(f"{folder}/restore.json")
        self.objects = normal(items)
        names = [(i["metadata"]["name"], "(volume of {namespace}/{name})".format(**i["spec"]["claimRef"]))
                 for i in items if i["kind"] == "PersistentVolume" and i["metadata"]["name"].startswith("pvc-") and "claimRef" in i["spec"]]
        status = restore.get("status", {})
        self.restore = {k: status.get(k) for k in ("phase", "warnings", "errors", "hookStatus", "validationErrors", "failureReason")}
        self.restore["progress"] = status.get("progress")
        self.record = {"results": results(folder), "resource list": resource_list(folder, names), "orders": orders(folder),
                       "volumes": volumes(folder, names),
                       "operations": gz(folder, "itemoperations.json.gz")}


# ---- comparing ----


def differences(want, got, path=""):
    """Every leaf that differs: its path, and both values."""
    if isinstance(want, dict) and isinstance(got, dict):
        for key in sorted(set(want) | set(got), key=str):
            yield from differences(want.get(key, MISSING), got.get(key, MISSING), f"{path}.{key}" if path else str(key))
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, pair in enumerate(zip(want, got)):
            yield from differences(*pair, f"{path}[{index}]")
    elif want != got or isinstance(want, bool) != isinstance(got, bool):
        yield path, want, got


class Missing:
    def __repr__(self):
        return "(nothing)"


MISSING = Missing()

# Differences on purpose, as docs/velero-restore.md has them: what, a pattern for "WHERE FIELD", and which values.
ON_PURPOSE = [
    ("restore-wait is Xebec's own: its image, and a user who can see the volumes", r"^Pod \S+ spec\.initContainers\[0\]\.(image|imagePullPolicy|command|securityContext)", None),
    ("managedFields are no difference: Velero warns of, or updates, what only another manager or time has touched",
     r"^record: resource list \S+/[^/]", {("failed", "skipped"), ("updated", "skipped")}),
    ("... so it has more warnings", r"^(Restore warnings|record: results warnings)", "more"),
    ("an order is named after what it is about, so that it is made once", r"^record: orders .*\.generateName$", None),
]


def fewer(want, got):
    """Warnings are Velero's, and more of them."""
    if isinstance(want, dict):
        return all(fewer(want.get(k, 0), v) for k, v in got.items()) if isinstance(got, dict) else got is MISSING
    return (0 if got in (MISSING, None) else got) <= (want or 0)


def on_purpose(where, path, want, got):
    text = f"{where} {path}"
    for name, pattern, values in ON_PURPOSE:
        if re.search(pattern, text) and (values is None or (fewer(want, got) if values == "more" else (want, got) in values)):
            return name
    return None


def full(value):
    """Without what is empty: Go leaves it out."""
    if isinstance(value, dict):
        parts = ((k, full(v)) for k, v in value.items())
        return {k: v for k, v in parts if not any(v is e or v == e for e in EMPTY)}
    return [full(v) for v in value] if isinstance(value, list) else value


def all_differences(want, got):
    for key in sorted(set(want.objects) | set(got.objects)):
        where = f"{key[0]} {key[1]}/{key[2]}"
        if key not in got.objects or key not in want.objects:
            yield where, "", want.objects.get(key, MISSING), got.objects.get(key, MISSING)
            continue
        for path, *values in differences(want.objects[key], got.objects[key]):
            yield where, path.removeprefix("[0]").lstrip("."), *values
    for path, *values in differences(full(want.restore), full(got.restore)):
        yield "Restore", path, *values
    for name in want.record:
        for path, *values in differences(full(want.record[name]), full(got.record[name])):
            yield f"record: {name}", path, *values


def main(want_folder, got_folder):
    want, got = Side(want_folder), Side(got_folder)
    meant, others = {}, 0
    for where, path, one, other in all_differences(want, got):
        name = on_purpose(where, path, one, other)
        if name:
            meant[name] = meant.get(name, 0) + 1
        else:
            others += 1
            print(f"{where}: {path}\n    Velero: {json.dumps(one, default=repr)[:400]}\n    Xebec:  {json.dumps(other, default=repr)[:400]}")
    for name, count in sorted(meant.items()):
        print(f"on purpose, {count} times: {name}")
    print(f"{len(want.objects)} objects, {others} differences")
    return others > 0 or not want.record["resource list"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
