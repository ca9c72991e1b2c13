"""What is known of the objects: versions, claims, owners."""

from typing import Any

import pytest

from rustqueue_operator.kube.calls import Key
from rustqueue_operator.objects import FINALIZER, InvalidObject, Objects, desired_of


def raw(name: str = "mail", version: int = 1, **metadata: Any) -> dict[str, Any]:
    spec = metadata.pop("spec", {})
    status = metadata.pop("status", {})
    known = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "generation": 1,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        **metadata,
    }
    return {"metadata": known, "spec": spec, "status": status}


def key(name: str = "mail") -> Key:
    return Key("queues", "team", name)


def test_only_what_calls_for_work_is_reported() -> None:
    objects = Objects()

    assert objects.put(key(), raw())
    assert not objects.put(key(), raw(version=2, status={"observedGeneration": 1}))
    assert objects.put(key(), raw(version=3, generation=2))
    assert objects.put(key(), raw(version=4, generation=2, annotations={"rustqueue.io/paused": "true"}))
    assert objects.put(key(), raw(version=5, generation=2, deletionTimestamp="2026-01-01T00:00:01Z"))


def test_an_older_version_never_replaces_a_newer_one() -> None:
    objects = Objects()
    objects.put(key(), raw(version=10, generation=3))

    assert not objects.put(key(), raw(version=9, generation=2))
    known = objects.get(key())
    assert known is not None
    assert known["metadata"]["generation"] == 3


def test_an_object_made_anew_replaces_the_former_whatever_its_version() -> None:
    objects = Objects()
    objects.put(key(), raw(version=10, uid="former"))

    assert objects.put(key(), raw(version=3, uid="new"))
    assert (objects.knows("former"), objects.knows("new")) == (False, True)


def test_who_claims_a_name_is_told_oldest_first() -> None:
    objects = Objects()
    for name, created in (("young", "2026-01-03T00:00:00Z"), ("old", "2026-01-01T00:00:00Z")):
        objects.put(key(name), raw(name, creationTimestamp=created, spec={"name": "shared"}))
    objects.put(key("alone"), raw("alone"))

    assert objects.claimants(key("young")) == [key("old"), key("young")]
    assert objects.remove(key("old")) == [key("young")]
    assert objects.claimants(key("young")) == [key("young")]
    assert objects.remove(key("old")) == []


def test_an_owner_that_is_going_counts_no_more() -> None:
    objects = Objects()
    objects.put(key(), raw(deletionTimestamp="2026-01-01T00:00:01Z"))

    assert not objects.knows("uid-mail")


def test_an_object_reads_as_what_the_planner_wants() -> None:
    wanted = desired_of(key(), raw(finalizers=["other", FINALIZER], spec={"name": "mail.out", "leaseSeconds": 5}))

    assert (wanted.kind, wanted.backend_name, wanted.finalizer, wanted.deleting, wanted.paused) == (
        "Queue",
        "mail.out",
        True,
        False,
        False,
    )


def test_what_this_version_does_not_understand_names_the_field() -> None:
    with pytest.raises(InvalidObject, match=r"^'leaseSeconds' must be a whole number, not a text$"):
        desired_of(key(), raw(spec={"leaseSeconds": "long"}))
