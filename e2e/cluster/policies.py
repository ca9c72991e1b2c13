"""NetworkPolicies, enforced: twice a second a packet filter table for each node, made of policies, pods and namespaces.

It works because every packet of a pod is routed and so passes its node's forward hook, after the service was
translated. A node always reaches its own pods (probes); connections that are open stay open. IPv4 only.
Arguments: server, certificates, folder of the cluster.
"""

import http.client
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.api_client import ApiClient, Object
from e2e.harness.waiting import pause

ROUND_S = 0.5
FILTER_DEADLINE_S = 20


def run(api: ApiClient, cluster: Path) -> None:
    done: dict[str, str] = {}
    while True:
        try:
            enforce(api, cluster, done)
        except (OSError, http.client.HTTPException, ValueError, subprocess.SubprocessError) as error:
            sys.stderr.write(f"{error}\n")
        pause(ROUND_S)


def enforce(api: ApiClient, cluster: Path, done: dict[str, str]) -> None:
    pods = [pod for pod in api.items("/api/v1/pods") if has_own_address(pod)]
    namespaces = {each["metadata"]["name"]: each for each in api.items("/api/v1/namespaces")}
    policies = api.items("/apis/networking.k8s.io/v1/networkpolicies")
    for file in cluster.glob("node*/init"):
        node, process = file.parent.name, file.read_text()
        text = table(node, policies, pods, namespaces)
        if done.get(process) == text:
            continue
        words = ["nsenter", "-t", process, "-n", "nft", "-f", "-"]
        subprocess.run(words, input=text, text=True, check=True, timeout=FILTER_DEADLINE_S)
        done[process] = text


def has_own_address(pod: Object) -> bool:
    status = pod["status"]
    return (
        bool(status.get("podIP")) and not pod["spec"].get("hostNetwork") and status["phase"] in ("Pending", "Running")
    )


def labels(thing: Object) -> dict[str, str]:
    found: dict[str, str] = thing["metadata"].get("labels") or {}
    return found


def matches(selector: Object, found: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    equal = all(found.get(key) == value for key, value in wanted.items())
    return equal and all(expression_holds(each, found) for each in selector.get("matchExpressions") or [])


def expression_holds(expression: Object, found: dict[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return (key in found) is (operator == "Exists")
    values: list[str] = expression["values"]
    return (found.get(key) in values) is (operator == "In")


def chosen_pods(peer: Object, namespace: str, pods: Sequence[Object], namespaces: dict[str, Object]) -> list[Object]:
    if "namespaceSelector" in peer:
        spaces = [name for name, each in namespaces.items() if matches(peer["namespaceSelector"], labels(each))]
    else:
        spaces = [namespace]
    chosen = peer.get("podSelector") or {}
    return [pod for pod in pods if pod["metadata"]["namespace"] in spaces and matches(chosen, labels(pod))]


def port_matches(ports: Sequence[Object], targets: Sequence[Object]) -> list[str]:
    """What the packet filter writes for these ports; names are looked up in the pods that are spoken to."""
    if not ports:
        return [""]
    found = []
    for port in ports:
        protocol, value = port.get("protocol", "TCP").lower(), port.get("port")
        if value is None:
            found.append(f"meta l4proto {protocol}")
        elif isinstance(value, str):
            found += [f"{protocol} dport {number}" for number in named_ports(value, targets)]
        else:
            found.append(f"{protocol} dport {value}" + (f"-{port['endPort']}" if "endPort" in port else ""))
    return found


def named_ports(name: str, pods: Sequence[Object]) -> list[int]:
    return sorted(
        {
            port["containerPort"]
            for pod in pods
            for container in pod["spec"]["containers"]
            for port in container.get("ports", [])
            if port.get("name") == name
        }
    )


class Direction:
    """Ingress or egress: who is protected, and who stands at the other end."""

    def __init__(
        self, name: str, policies: Sequence[Object], pods: Sequence[Object], namespaces: dict[str, Object]
    ) -> None:
        self._name, self._policies, self._pods, self._namespaces = name, policies, pods, namespaces
        self._own, self._other, self._peers = (
            ("daddr", "saddr", "from") if name == "Ingress" else ("saddr", "daddr", "to")
        )

    def rules(self, pod: Object) -> list[str]:
        policies = [policy for policy in self._policies if self._is_for(policy, pod)]
        if not policies:
            return []
        own = f"ip {self._own} {pod['status']['podIP']}"
        allowed = [
            f"{own} {text} accept"
            for policy in policies
            for rule in policy["spec"].get(self._name.lower()) or []
            for text in self._allowed(rule, policy["metadata"]["namespace"], pod)
        ]
        return [*allowed, f"{own} drop"]

    def _is_for(self, policy: Object, pod: Object) -> bool:
        if policy["metadata"]["namespace"] != pod["metadata"]["namespace"]:
            return False
        spec = policy["spec"]
        return self._name in spec["policyTypes"] and matches(spec.get("podSelector") or {}, labels(pod))

    def _allowed(self, rule: Object, namespace: str, pod: Object) -> list[str]:
        ports = rule.get("ports") or []
        targets = [pod] if self._name == "Ingress" else self._pods
        peers = rule.get(self._peers)
        if not peers:
            return port_matches(ports, targets)
        found = []
        for peer in peers:
            if block := peer.get("ipBlock"):
                excluded = ", ".join(block.get("except") or [])
                who = f"ip {self._other} {block['cidr']}" + (
                    f" ip {self._other} != {{ {excluded} }}" if excluded else ""
                )
                found += [f"{who} {text}" for text in port_matches(ports, targets)]
            elif others := chosen_pods(peer, namespace, self._pods, self._namespaces):
                addresses = ", ".join(sorted({each["status"]["podIP"] for each in others}))
                spoken_to = [pod] if self._name == "Ingress" else others
                found += [f"ip {self._other} {{ {addresses} }} {text}" for text in port_matches(ports, spoken_to)]
        return found


def table(node: str, policies: Sequence[Object], pods: Sequence[Object], namespaces: dict[str, Object]) -> str:
    here = [pod for pod in pods if pod["spec"].get("nodeName") == node]
    text = "table inet policies\ndelete table inet policies\ntable inet policies {\n"
    for priority, name in ((10, "Egress"), (11, "Ingress")):
        direction = Direction(name, policies, pods, namespaces)
        rules = ["ct state established,related accept", *(rule for pod in here for rule in direction.rules(pod))]
        text += f"chain {name} {{\ntype filter hook forward priority {priority};\n" + "\n".join(rules) + "\n}\n"
    return text + "}\n"


if __name__ == "__main__":
    run(ApiClient(sys.argv[1], Path(sys.argv[2])), Path(sys.argv[3]))
