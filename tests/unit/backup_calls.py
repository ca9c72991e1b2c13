"""The calls of backups, as `CALLS` of test_client_calls has all others."""

from typing import Any

from rustqueue.client.call import Call
from rustqueue.client.calls import backups
from rustqueue.model.cluster.backups import BackupCreate, BackupDelete, BackupRead

BACKUP_CALLS: list[tuple[str, Call[Any], object, str, Any]] = [
    ("begin_backup", backups.begin_backup(), BackupCreate(), "POST /backup", None),
    (
        "read_backup",
        backups.read_backup("b1", "1.sst", 5),
        BackupRead(id="b1", file="1.sst", offset=5),
        "GET /backup/b1?file=1.sst&offset=5",
        None,
    ),
    ("end_backup", backups.end_backup("b1"), BackupDelete(id="b1"), "DELETE /backup/b1", None),
]
