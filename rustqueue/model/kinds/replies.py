"""What they are answered."""

from rustqueue.model.kinds.values import KindJob
from rustqueue.model.replies import Reply


class OneKindJob(Reply, frozen=True, kw_only=True):
    job: KindJob


class KindJobCreated(OneKindJob, frozen=True, kw_only=True):
    """`created` is false when the key names a job that is there already: this one."""

    created: bool


class KindJobPage(Reply, frozen=True, kw_only=True):
    """`whole` is false when there may be more jobs that fit, behind those that were looked at."""

    jobs: list[KindJob]
    whole: bool
