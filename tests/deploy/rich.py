# SPDX-License-Identifier: Apache-2.0
"""One object per kind of velero.io with every field of the contract set.

rich.py write DIR           writes DIR/<plural>.json
rich.py compare WANT GOT    fails when a field of WANT is not the same in GOT; prints which
"""
import json
import os
import sys

TIME = "2026-05-20T10:11:12Z"
SELECTOR = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}
SECRET = {"name": "s", "key": "k", "optional": True}
REF = {"apiGroup": "", "kind": "configmap", "name": "c"}
POD = {"apiVersion": "v1", "kind": "Pod", "namespace": "web", "name": "api-0", "uid": "5f0c1c2e-7a51-4e0e-9d43-0d4a6f6d1c11",
       "resourceVersion": "7", "fieldPath": "spec"}
HOOK_STATUS = {"hooksAttempted": 2, "hooksFailed": 1}
BYTES = {"totalBytes": 5000000000000, "bytesDone": 4999999999999}
LISTS = {"includedNamespaces": ["a*"], "excludedNamespaces": ["b"], "includedResources": ["pods"], "excludedResources": ["secrets"]}
EXEC = {"exec": {"container": "db", "command": ["/bin/sh", "-c", "sync"], "onError": "Fail", "timeout": "30s"}}
BACKUP_SPEC = {
    "metadata": {"labels": {"l": "v"}, "annotations": {"a": "v"}}, **LISTS,
    "includedClusterScopedResources": ["a"], "excludedClusterScopedResources": ["b"],
    "includedNamespaceScopedResources": ["c"], "excludedNamespaceScopedResources": ["d"],
    "labelSelector": SELECTOR, "orLabelSelectors": [SELECTOR], "includeClusterResources": None, "snapshotVolumes": False,
    "snapshotMoveData": False, "datamover": "velero", "defaultVolumesToFsBackup": True, "defaultVolumesToRestic": None,
    "ttl": "720h0m0s", "storageLocation": "default", "volumeSnapshotLocations": ["default"],
    "orderedResources": {"pods": "ns/a,ns/b"}, "csiSnapshotTimeout": "10m0s", "itemOperationTimeout": "4h0m0s",
    "volumeGroupSnapshotLabelKey": "velero.io/volume-group", "resourcePolicy": REF, "uploaderConfig": {"parallelFilesUpload": 4},
    "backupType": "Full",
    "hooks": {"resources": [{"name": "h", **LISTS, "labelSelector": SELECTOR, "pre": [EXEC], "post": [EXEC]}]},
}
MOVING = {"phase": "InProgress", "message": "m", "startTimestamp": TIME, "completionTimestamp": TIME, "acceptedTimestamp": TIME,
          "progress": BYTES}

KINDS = {
    "backups": ("Backup", BACKUP_SPEC, {
        "version": 1, "formatVersion": "1.1.0", "expiration": TIME, "phase": "WaitingForPluginOperationsPartiallyFailed",
        "queuePosition": 3, "validationErrors": ["e"], "startTimestamp": TIME, "completionTimestamp": TIME,
        "volumeSnapshotsAttempted": 1, "volumeSnapshotsCompleted": 1, "csiVolumeSnapshotsAttempted": 1,
        "csiVolumeSnapshotsCompleted": 1, "backupItemOperationsAttempted": 1, "backupItemOperationsCompleted": 1,
        "backupItemOperationsFailed": 1, "failureReason": "f", "warnings": 1, "errors": 1,
        "progress": {"totalItems": 10, "itemsBackedUp": 9}, "hookStatus": HOOK_STATUS}),
    "restores": ("Restore", {
        "backupName": "b", "scheduleName": "s", **LISTS, "namespaceMapping": {"a": "b"}, "labelSelector": SELECTOR,
        "orLabelSelectors": [SELECTOR], "restorePVs": True,
        "restoreStatus": {"includedResources": ["pods"], "excludedResources": ["jobs"]}, "preserveNodePorts": False,
        "includeClusterResources": None, "existingResourcePolicy": "update", "itemOperationTimeout": "4h0m0s",
        "resourceModifier": REF, "resourcePolicy": REF, "skipDefaultResourceModifier": True,
        "uploaderConfig": {"writeSparseFiles": True, "parallelFilesDownload": 4},
        "hooks": {"resources": [{"name": "h", **LISTS, "labelSelector": SELECTOR, "postHooks": [
            {"exec": {"container": "db", "command": ["true"], "onError": "Continue", "execTimeout": "1m", "waitTimeout": "2m",
                      "waitForReady": True}},
            {"init": {"timeout": "1m", "initContainers": [{
                "name": "i", "image": "i:1", "command": ["true"], "env": [{"name": "A", "value": "b"}],
                "resources": {"limits": {"cpu": "100m"}}, "securityContext": {"runAsUser": 0}, "anything": {"at": ["all", 1]}}]}},
        ]}]}}, {
        "phase": "Finalizing", "validationErrors": ["e"], "warnings": 1, "errors": 1, "failureReason": "f", "startTimestamp": TIME,
        "completionTimestamp": TIME, "progress": {"totalItems": 10, "itemsRestored": 9}, "restoreItemOperationsAttempted": 1,
        "restoreItemOperationsCompleted": 1, "restoreItemOperationsFailed": 1, "hookStatus": HOOK_STATUS}),
    "schedules": ("Schedule", {
        "template": BACKUP_SPEC, "schedule": "CRON_TZ=UTC 0 1 * * *", "useOwnerReferencesInBackup": True, "paused": True,
        "skipImmediately": True},
        {"phase": "Enabled", "lastBackup": TIME, "lastSkipped": TIME, "validationErrors": ["e"]}),
    "backupstoragelocations": ("BackupStorageLocation", {
        "provider": "aws", "config": {"region": "r", "s3Url": "http://127.0.0.1:9000"}, "credential": SECRET,
        "objectStorage": {"bucket": "b", "prefix": "p", "caCert": "cGVt", "caCertRef": SECRET}, "default": True,
        "accessMode": "ReadWrite", "backupSyncPeriod": "1m0s", "validationFrequency": "0s"},
        {"phase": "Available", "message": "m", "lastSyncedTime": TIME, "lastValidationTime": TIME, "lastSyncedRevision": "r",
         "accessMode": "ReadOnly"}),
    "volumesnapshotlocations": ("VolumeSnapshotLocation", {"provider": "aws", "config": {"region": "r"}, "credential": SECRET},
                                {"phase": "Unavailable"}),
    "podvolumebackups": ("PodVolumeBackup", {
        "node": "node1", "pod": POD, "volume": "data", "backupStorageLocation": "default", "repoIdentifier": "",
        "uploaderType": "kopia", "tags": {"backup": "b"}, "uploaderSettings": {"ParallelFilesUpload": "4"}, "parentSnapshot": "auto",
        "cancel": True},
        {**MOVING, "path": "/host_pods/x", "snapshotID": "0123456789abcdef0123456789abcdef", "incrementalBytes": 3000000000}),
    "podvolumerestores": ("PodVolumeRestore", {
        "pod": POD, "volume": "data", "backupStorageLocation": "default", "repoIdentifier": "", "uploaderType": "",
        "snapshotID": "0123", "sourceNamespace": "web", "snapshotSize": 3000000000, "uploaderSettings": {"WriteSparseFiles": "true"},
        "cancel": False}, {**MOVING, "node": "node1"}),
    "downloadrequests": ("DownloadRequest", {"target": {"kind": "BackupVolumeInfos", "name": "b"}},
                         {"phase": "Failed", "downloadURL": "http://x/y?z", "expiration": TIME, "message": "m"}),
    "deletebackuprequests": ("DeleteBackupRequest", {"backupName": "b"}, {"phase": "Processed", "errors": ["e"]}),
    "serverstatusrequests": ("ServerStatusRequest", {}, {
        "phase": "Processed", "processedTimestamp": TIME, "serverVersion": "v1.18.3",
        "plugins": [{"name": "velero.io/pod", "kind": "BackupItemAction"}]}),
    "backuprepositories": ("BackupRepository", {
        "volumeNamespace": "web", "backupStorageLocation": "default", "repositoryType": "kopia", "resticIdentifier": "",
        "maintenanceFrequency": "1h0m0s", "repositoryConfig": {"cacheLimitMB": "100"}},
        {"phase": "Ready", "message": "m", "lastMaintenanceTime": TIME,
         "recentMaintenance": [{"result": "Succeeded", "startTimestamp": TIME, "completeTimestamp": TIME, "message": "m"}]}),
    "datauploads": ("DataUpload", {
        "snapshotType": "CSI", "csiSnapshot": {"volumeSnapshot": "v", "storageClass": "s", "snapshotClass": "c", "driver": "d"},
        "sourcePVC": "p", "sourceNamespace": "web", "datamover": "velero", "backupStorageLocation": "default",
        "dataMoverConfig": {"a": "b"}, "cancel": True, "operationTimeout": "10m0s"},
        {**MOVING, "path": "/x", "snapshotID": "0123", "dataMoverResult": {"a": "b"}, "incrementalBytes": 1, "node": "node1",
         "nodeOS": "linux", "acceptedByNode": "node1"}),
    "datadownloads": ("DataDownload", {
        "targetVolume": {"pvc": "p", "pv": "v", "namespace": "web"}, "backupStorageLocation": "default", "datamover": "velero",
        "snapshotID": "0123", "sourceNamespace": "web", "dataMoverConfig": {"a": "b"}, "cancel": True, "operationTimeout": "10m0s",
        "nodeOS": "auto", "snapshotSize": 3000000000}, {**MOVING, "node": "node1", "acceptedByNode": "node1"}),
}


def write(folder):
    for plural, (kind, spec, status) in KINDS.items():
        version = "v2alpha1" if plural.startswith("data") else "v1"
        with open(os.path.join(folder, plural + ".json"), "w", encoding="utf-8") as handle:
            json.dump({"apiVersion": "velero.io/" + version, "kind": kind, "metadata": {"name": "rich", "namespace": "velero"},
                       "spec": spec, "status": status}, handle)


def differences(want, got, path):
    if isinstance(want, dict) and isinstance(got, dict):
        for key, value in want.items():
            if key in got:
                yield from differences(value, got[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: gone"
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for number, (left, right) in enumerate(zip(want, got)):
            yield from differences(left, right, f"{path}[{number}]")
    elif want != got:
        yield f"{path}: {want!r} became {got!r}"


def main():
    if sys.argv[1] == "write":
        write(sys.argv[2])
        return
    objects = []
    for name in sys.argv[2:4]:
        with open(name, encoding="utf-8") as handle:
            objects.append(json.load(handle))
    found = list(differences(*objects, ""))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
