"""Dynamic volumes: for each claim a folder on the node that the scheduler chose, as a `local` PersistentVolume.

Local volumes honour fsGroup, hostPath volumes do not. Sizes are not enforced. Arguments: server, certificates, folder.
"""

import http.client
import shutil
import sys
from pathlib import Path

from e2e.cluster.api_client import ApiClient, Object
from e2e.harness.waiting import pause

PROVISIONER = "folders.e2e.invalid"
ROUND_S = 0.5


def run(api: ApiClient, cluster: Path) -> None:
    while True:
        try:
            for claim in api.items("/api/v1/persistentvolumeclaims"):
                provision(api, claim, cluster)
            for volume in api.items("/api/v1/persistentvolumes"):
                reclaim(api, volume)
        except (OSError, http.client.HTTPException, ValueError) as error:
            sys.stderr.write(f"{error}\n")
        pause(ROUND_S)


def provision(api: ApiClient, claim: Object, cluster: Path) -> None:
    meta, spec = claim["metadata"], claim["spec"]
    notes = meta.get("annotations", {})
    node = notes.get("volume.kubernetes.io/selected-node")
    mine = notes.get("volume.kubernetes.io/storage-provisioner") == PROVISIONER
    if claim["status"]["phase"] != "Pending" or not mine or not node:
        return
    name = f"pvc-{meta['uid']}"
    # Root's, mode 0755, as on a freshly made disk: a pod that forgets fsGroup cannot write.
    folder = cluster / node / "volumes" / name
    folder.mkdir(parents=True, exist_ok=True)
    api.call("POST", "/api/v1/persistentvolumes", volume_of(name, folder, node, meta, spec))


def volume_of(name: str, folder: Path, node: str, meta: Object, spec: Object) -> Object:
    chosen = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "local": {"path": str(folder)},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [chosen]}]}},
        },
    }


def reclaim(api: ApiClient, volume: Object) -> None:
    meta, spec = volume["metadata"], volume["spec"]
    if meta.get("annotations", {}).get("pv.kubernetes.io/provisioned-by") != PROVISIONER:
        return
    if volume["status"].get("phase") == "Released" and spec["persistentVolumeReclaimPolicy"] == "Delete":
        shutil.rmtree(spec["local"]["path"], ignore_errors=True)
        api.call("DELETE", f"/api/v1/persistentvolumes/{meta['name']}")


if __name__ == "__main__":
    run(ApiClient(sys.argv[1], Path(sys.argv[2])), Path(sys.argv[3]))
