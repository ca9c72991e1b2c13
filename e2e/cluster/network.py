"""The cables of the cluster: one bridge of the host, one link to each node, and what cuts and heals them."""

import subprocess

BRIDGE = "rq-e2e0"
HOST = "172.30.0.1"
PODS = "10.244.0.0/16"
TABLE = "rq-e2e"
CALL_DEADLINE_S = 30


def node_address(number: int) -> str:
    return f"172.30.0.{10 + number}"


def pod_range(number: int) -> str:
    return f"10.244.{number}.0/24"


def link(number: int) -> str:
    return f"{BRIDGE}n{number}"


def call(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=CALL_DEADLINE_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def attempt(*words: str) -> bool:
    done = subprocess.run(words, capture_output=True, text=True, timeout=CALL_DEADLINE_S, check=False)
    return done.returncode == 0


def lay() -> None:
    """The bridge; what an earlier run that was killed has left is removed first."""
    remove()
    call("ip", "link", "add", BRIDGE, "type", "bridge")
    call("ip", "address", "add", f"{HOST}/24", "dev", BRIDGE)
    call("ip", "link", "set", BRIDGE, "up")


def remove() -> None:
    attempt("nft", "delete", "table", "bridge", TABLE)
    attempt("ip", "link", "delete", BRIDGE)


def plug(number: int, process: int) -> None:
    """Connect the network namespace of a process; its end of the cable is eth0."""
    address = f"02:00:00:00:00:{number:02x}"
    cable = ["ip", "link", "add", link(number), "master", BRIDGE, "type", "veth"]
    call(*cable, "peer", "name", "eth0", "address", address, "netns", str(process))
    call("ip", "link", "set", link(number), "up")
    call("ip", "route", "replace", pod_range(number), "via", node_address(number))


def cut(number: int, peer: int | None) -> None:
    """The cable pulled, or only the frames between two nodes dropped, both ways."""
    if peer is None:
        call("ip", "link", "set", link(number), "down")
        return
    rules = f"add table bridge {TABLE}\nadd chain bridge {TABLE} cut {{ type filter hook forward priority 0; }}\n"
    for one, other in ((number, peer), (peer, number)):
        rules += f'add rule bridge {TABLE} cut iifname "{link(one)}" oifname "{link(other)}" drop\n'
    call("nft", "-f", "-", text=rules)


def heal(number: int) -> None:
    """Cuts between two other nodes stay."""
    call("ip", "link", "set", link(number), "up")
    if not attempt("nft", "list", "table", "bridge", TABLE):
        return
    for line in call("nft", "-a", "list", "table", "bridge", TABLE).splitlines():
        if f'"{link(number)}"' in line:
            call("nft", "delete", "rule", "bridge", TABLE, "cut", "handle", line.split()[-1])
