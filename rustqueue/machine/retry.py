"""Back-off arithmetic, in integers. Attempt k is the number of failures so far, starting at 1."""

from rustqueue.model import limits

_EXPONENT_MAX = 60
_JITTER_EXPONENT_MAX = 10
_JITTER_CAP_MS = 60_000


def backoff_ms(strategy: str, base_ms: int, attempt: int, cap_ms: int | None, draw: int) -> int:
    """Milliseconds to wait before the next try.

    fixed: base; linear: base x k; exponential: base x 2^(k-1); decorrelated_jitter: uniform in
    [base, min(cap, base x 3^k)], cap 60 s unless given (contract A11, B5, decisions B5). `draw` is a large uniform
    integer and only the jitter uses it. Never more than ten years.
    """
    if strategy == "fixed":
        delay_ms = base_ms
    elif strategy == "linear":
        delay_ms = base_ms * attempt
    elif strategy == "exponential":
        delay_ms = base_ms << min(attempt - 1, _EXPONENT_MAX)
    else:
        top_ms = min(cap_ms or max(_JITTER_CAP_MS, base_ms), base_ms * 3 ** min(max(attempt, 1), _JITTER_EXPONENT_MAX))
        delay_ms = base_ms + draw % (top_ms - base_ms + 1) if top_ms > base_ms else min(base_ms, top_ms)
    if cap_ms is not None:
        delay_ms = min(delay_ms, cap_ms)
    return min(delay_ms, limits.DURATION_MS_MAX)
