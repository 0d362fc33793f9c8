#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes objects by the thousand in a test bed, several connections at once; counts what the API server was asked.

usage: objects.py make BED COUNT        namespaces many-0 to many-9 with COUNT objects: most are ConfigMaps of 1.5 KB, the rest a mix
       objects.py maps BED COUNT        the namespace maps with COUNT ConfigMaps of 1.5 KB
       objects.py requests BED          how many requests the API server has answered so far, watches aside, in one number
Runs in the bed's network; BED is its folder.
"""
import base64
import hashlib
import http.client
import json
import ssl
import subprocess
import sys
import threading
import urllib.parse

CONNECTIONS = 6


def connect(bed):
    config = json.loads(subprocess.run([f"{sys.path[0]}/../cluster/kubectl", "config", "view", "--raw", "--flatten", "-o", "json"],
                                       capture_output=True, check=True, env={"XEBEC_BED": bed, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}).stdout)
    server = urllib.parse.urlsplit(config["clusters"][0]["cluster"]["server"])
    user, paths = config["users"][0]["user"], {}
    for name, data in (("ca", config["clusters"][0]["cluster"]["certificate-authority-data"]),
                       ("crt", user["client-certificate-data"]), ("key", user["client-key-data"])):
        paths[name] = f"{bed}/objects.{name}"
        with open(paths[name], "wb") as handle:
            handle.write(base64.b64decode(data))
    context = ssl.create_default_context(cafile=paths["ca"])
    context.load_cert_chain(paths["crt"], paths["key"])
    return lambda: http.client.HTTPSConnection(server.hostname, server.port, context=context, timeout=60)


def objects(count):
    """Each with the collection that it is created in."""
    for number in range(count):
        namespace = f"many-{number % 10}"
        noise = hashlib.sha512(str(number).encode()).hexdigest()
        metadata = {"name": f"object-{number}", "labels": {"app": f"app-{number % 50}"}}
        if number % 10 == 0:
            yield f"/api/v1/namespaces/{namespace}/secrets", {"metadata": metadata, "stringData": {"password": noise}}
        elif number % 20 == 1:
            yield f"/api/v1/namespaces/{namespace}/services", {"metadata": metadata, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
        elif number % 20 == 3:
            yield f"/apis/batch/v1/namespaces/{namespace}/cronjobs", {"metadata": metadata, "spec": {
                "schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": {
                    "restartPolicy": "Never", "containers": [{"name": "main", "image": "none", "args": [noise]}]}}}}}}
        else:
            yield f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": metadata, "data": {"text": noise * 11}}


def maps(count):
    for number in range(count):
        noise = hashlib.sha512(str(number).encode()).hexdigest()
        yield "/api/v1/namespaces/maps/configmaps", {"metadata": {"name": f"map-{number:06}", "labels": {"app": f"app-{number % 50}"}},
                                                     "data": {"text": noise * 11}}


def make(bed, namespaces, todo):
    new, lock, failed = connect(bed), threading.Lock(), []

    def post(link, path, value):
        link.request("POST", path, json.dumps(value), {"Content-Type": "application/json"})
        answer = link.getresponse()
        body = answer.read()
        if answer.status not in (201, 409):
            failed.append(f"{path}: {answer.status} {body[:200]!r}")

    def work():
        link = new()
        while not failed:
            with lock:
                one = next(todo, None)
            if one is None:
                return
            post(link, *one)

    for namespace in namespaces:
        post(new(), "/api/v1/namespaces", {"metadata": {"name": namespace}})
    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(failed[0])


def requests(bed):
    link, total = connect(bed)(), 0.0
    link.request("GET", "/metrics")
    for line in link.getresponse().read().decode().splitlines():
        if line.startswith("apiserver_request_total{") and 'verb="WATCH"' not in line and 'resource="leases"' not in line:
            total += float(line.rsplit(" ", 1)[1])
    print(int(total))


if sys.argv[1] == "make":
    make(sys.argv[2], [f"many-{number}" for number in range(10)], objects(int(sys.argv[3])))
elif sys.argv[1] == "maps":
    make(sys.argv[2], ["maps"], maps(int(sys.argv[3])))
else:
    requests(sys.argv[2])
