"""Every limit of the product, once, each with its reason.

A limit is checked before work is done, and the error names the field and the limit. Sizes are bytes, durations
milliseconds.
"""

from typing import Final

NAME_BYTES_MAX: Final = 1_024  # Contract A5: job names; they appear in every listing, so they stay short.
QUEUE_NAME_BYTES_MAX: Final = 256  # Contract A5: part of every index key of the queue.
DATA_BYTES_MAX: Final = 1_048_576  # Contract A5: one payload must fit in one log entry beside others.
RESULT_BYTES_MAX: Final = 1_048_576  # Same reason as payloads: a result is the next job's payload in a chain.
METADATA_BYTES_MAX: Final = 65_536  # Contract A5.
UNIQUE_KEY_BYTES_MAX: Final = 1_024  # Contract A5; part of an index key.
CUSTOM_ID_BYTES_MAX: Final = 256  # Part of an index key and of URLs.
FLOW_ID_BYTES_MAX: Final = 256  # Part of an index key and of URLs.
GROUP_ID_BYTES_MAX: Final = 256  # Part of index keys.
WORKER_ID_BYTES_MAX: Final = 256  # Kept with every lease in memory.
TRACEPARENT_BYTES_MAX: Final = 256  # W3C trace context is 55 bytes today; room for later versions.
IDEMPOTENCY_KEY_BYTES_MAX: Final = 256  # Hashed before it is stored; the limit bounds the request.
REQUEST_ID_BYTES_MAX: Final = 256  # Echoed in the answer.
ATTEMPT_TOKEN_BYTES_MAX: Final = 128  # Ours are under 40 bytes.
ID_TEXT_BYTES_MAX: Final = 600  # `custom:QUEUE:ID` at full length.
TAGS_MAX: Final = 64  # Tags are searched by scanning.
TAG_BYTES_MAX: Final = 256
ERROR_BYTES_MAX: Final = 10_240  # Contract A4: error text of a failed attempt.
MESSAGE_BYTES_MAX: Final = 4_096  # One progress message.
LOG_BYTES_MAX: Final = 65_536  # All log lines of a job: they are rewritten with each progress report.
LOG_LINES_MAX: Final = 100  # Oldest lines give way; the original kept all of them for ever.
LABELS_MAX: Final = 64  # Labels of one queue, schedule or webhook; every list shows them.
LABEL_KEY_BYTES_MAX: Final = 317  # A label key of Kubernetes: a DNS name of 253, a slash, 63 more.
LABEL_VALUE_BYTES_MAX: Final = 256
MISTAKE_TEXT_BYTES_MAX: Final = 65_536  # Of a refused request that is read again, to say what stood where it was wrong.
OWNER_UID_BYTES_MAX: Final = 128  # A UUID in Kubernetes; other owners may have longer names.
OWNER_REF_BYTES_MAX: Final = 512  # Kind, namespace and name, for people.
DEPENDS_ON_MAX: Final = 10_000  # Parents of one job (design 4.12).
CHILDREN_MAX: Final = 10_000  # Children of one parent (design 4.12).
CHILDREN_SETTLED_AT_ONCE_MAX: Final = (
    1_000  # More settle in following entries, so that one ack cannot hold the loop (design 4.12).
)
DAG_DEPTH_DEFAULT: Final = 10  # `jobs.max_dag_depth`, contract A12.
DAG_DEPTH_MAX: Final = 1_000  # The depth of a job is stored with it, so a check costs one read per parent.
FOLLOW_UPS_MAX: Final = 100  # They are pushed in the same entry as the ack.

BATCH_JOBS_MAX: Final = 1_000  # One batch is one log entry; more would hold up every other caller.
PULL_COUNT_MAX: Final = 1_000  # Larger asks are refused, not cut (contract A30: 2^32-1 killed the original).
PULL_QUEUES_MAX: Final = 64  # Each is looked at once per pull.
PULL_BYTES_MAX: Final = 16_777_216  # Decisions A25: a pull stops at this much payload.
ENTRY_REPLIES_BYTES_MAX: Final = 67_108_864  # Payload answered by all pulls of one loop turn together.
PULL_WEIGHT_MAX: Final = 100  # Decisions C.
PARENT_RESULTS_BYTES_MAX: Final = (
    1_048_576  # Results added to one pulled job; past it `parent_results_truncated` says so.
)
PARENT_RESULTS_MAX: Final = 1_000  # Parents looked at for one pulled job; `job_parents` pages through more.
WAIT_MS_MAX: Final = 3_600_000  # A waiting pull holds a connection; one hour is beyond every proxy's patience.
WAITING_PULLS_MAX: Final = 100_000  # Per node; each costs about a kilobyte.
LIST_LIMIT_MAX: Final = 1_000  # Decisions D.
LIST_LIMIT_DEFAULT: Final = 50
CURSOR_BYTES_MAX: Final = 512  # Two hexadecimal digits for each byte of the longest name that a list goes on behind.
LIST_SCANNED_MAX: Final = 2_000  # Rows one listing may look at before it answers with a cursor.
CONFIGURED_KINDS_MAX: Final = 256
KIND_LIST_MAX: Final = 200  # Contract B2.
KIND_LIST_SCANNED_MAX: Final = 10_000  # It has no cursor to go on with, so one listing looks at more rows.
LIST_BYTES_MAX: Final = 16_777_216  # Payload in one page; a page with fewer jobs has a cursor.
FINGERPRINT_DIGITS: Final = 16  # Of an error, in hexadecimal: groups of dead jobs are few, so 64 bits do not meet.
DLQ_LIST_MAX: Final = 1_000
QUEUES_MAX: Final = 100_000  # Each used queue has a record in memory.
QUEUES_CACHED_MAX: Final = 10_000  # Queue records kept in memory at once.

DURATION_MS_MAX: Final = 315_360_000_000  # Ten years (decisions A30): no sum of two can overflow 64 bits.
COUNT_MAX: Final = 1_000_000_000_000  # Bound for counts in settings, far below 2^63.
ATTEMPTS_MAX: Final = 1_000_000  # Total tries of one job.
PRIORITY_MIN: Final = -(2**31)  # Contract A5: i32.
PRIORITY_MAX: Final = 2**31 - 1
LEASE_MS_MIN: Final = 100  # Shorter leases would expire within one commit on a slow disk.
LEASE_MS_MAX: Final = 86_400_000  # A day; longer work sends heartbeats.
LEASE_MS_DEFAULT: Final = 30_000  # `jobs.stall_timeout_ms`, contract A19.

JSON_DEPTH_MAX: Final = 64  # Consumers in every language parse payloads recursively.
FRAME_PART_BYTES_MAX: Final = 4 * 1_048_576  # Contract A8: a longer payload or list of ids ends a binary conversation.
LINE_BYTES_MAX: Final = (
    16_777_216  # One TCP line: a full batch of large payloads, and what a client can make us buffer.
)
BODY_BYTES_MAX: Final = 16_777_216  # One HTTP body, the same as a line.
HEADER_BYTES_MAX: Final = 16_384  # All HTTP request headers.
TARGET_BYTES_MAX: Final = 8_192  # HTTP request target.
CONNECTIONS_MAX: Final = 20_000  # Per node and protocol; decisions ask for 10,000 idle ones to be harmless.
PIPELINE_MAX: Final = 1_024  # Requests of one TCP connection in flight before we stop reading from it.

ENTRY_BYTES_MAX: Final = 1_048_576  # Soft cap of one log entry: commands beyond it go to the next round.
PENDING_BYTES_MAX: Final = 134_217_728  # Commands not yet durable; beyond it callers get 429 OVERLOADED.
TICK_ROWS_MAX: Final = 2_000  # Due rows one tick handles (design 4.3).
SWEEP_JOBS_MAX: Final = 1_000  # Jobs a bulk verb changes in one entry (design 4.13).
TRIM_QUEUES_MAX: Final = 64  # Queues among whose completed jobs one trim finds the oldest; each costs a scan.
TRIM_ROWS_MAX: Final = 1_000  # Queues one trim passes on its way to those that hold completed jobs.

SCHEDULE_NAME_BYTES_MAX: Final = 256  # Part of row keys and of URLs.
SCHEDULES_MAX: Final = 100_000  # The leader keeps the next run of each in memory.
SCHEDULE_RUNS_MAX: Final = 100  # Lines of history a schedule; a new one takes the place of the oldest.
SCHEDULE_JITTER_MS_MAX: Final = 86_400_000  # More than a day is another schedule.
SCHEDULE_TIME_MS_MAX: Final = 7_258_118_400_000  # The year 2200: calendars beyond it are guesses.
SCHEDULE_EVERY_MS_MIN: Final = 100  # Shorter intervals run this often (contract A13 has no minimum, but a resolution).
SCHEDULE_GRACE_MS: Final = 30_000  # A tick no later than this is on time: longer than any failover or restart.
SCHEDULE_CATCH_UP_MAX: Final = 100  # Missed ticks that `missed: all` makes up at most, the latest ones.
SCHEDULE_FIRES_MAX: Final = 200  # Jobs pushed by one entry of due schedules: a few milliseconds of apply,
SCHEDULE_FIRES_BYTES_MAX: Final = 4_194_304  # or so much payload.
SCHEDULES_READ_MAX: Final = 50  # Timetables worked out in one loop turn; each takes up to 0.4 ms.
SCHEDULE_NEXT_RUNS: Final = 5  # Decisions A19.
CRON_BYTES_MAX: Final = 256
ZONE_BYTES_MAX: Final = 64  # The longest IANA name has 32 characters.

IDEMPOTENCY_WINDOW_MS: Final = 600_000  # Design section 5.
IDEMPOTENCY_KEYS_MAX: Final = 1_000_000
COMPLETED_TOKEN_WINDOW_MS: Final = 600_000  # How long a repeated ack with the completing token is answered 200.

GROUP_WINDOWS_MAX: Final = 1_024  # Groups of one queue whose next jobs are kept in memory.
GROUPS_LOOKED_MAX: Final = 1_000  # Groups looked at in the entry that changes their limit; others follow one by one.
GROUPS_A_TURN_MAX: Final = 256  # Groups that a pull looks at together; it goes on with the next ones.
SCALE_JOBS_MAX: Final = 1_000_000  # Jobs a worker, and workers, in the arithmetic of scaling.
SCALE_DUE_MS_MAX: Final = 86_400_000  # How far ahead delayed jobs are counted.
SCALE_LANES_MAX: Final = 256  # Priorities and groups whose oldest job is looked at.
WHY_PARENTS_MAX: Final = 10  # Unfinished parents that are named.
WHY_ROWS_MAX: Final = 1_000  # Rows of ready jobs counted for a job's place in the line.
TX_OPERATIONS_MAX: Final = 100  # Operations of one transaction, and
TX_JOBS_MAX: Final = 1_000  # jobs that they push together: as many as one batch.
HISTORY_ATTEMPTS_MAX: Final = 20  # Tries of a job that are kept beside its last: rewritten with each failure.
HISTORY_ERROR_BYTES_MAX: Final = 500  # Of the error of each.
WORKERS_MAX: Final = 100_000  # Each has a record in memory; beyond it new ones are not listed.
WORKER_SEEN_STEP_MS: Final = 10_000  # How exactly it is written down when a worker was last seen.
WORKER_KEPT_MS: Final = 3_600_000  # A worker that has not been seen for so long is forgotten,
WORKER_DRAIN_MS: Final = 86_400_000  # but that it shall drain is remembered for a day.
SCHEMA_BYTES_MAX: Final = 65_536  # One payload schema; it is read again by every node that starts.
SCHEMA_STEPS_MAX: Final = 10_000  # Subschemas that one value can meet, references followed.
SCHEMA_PATTERN_BYTES_MAX: Final = 1_048_576  # One compiled pattern of a schema.
SCHEMAS_READY_MAX: Final = 1_000  # Compiled schemas kept in memory.
RATE_COUNT_MAX: Final = 1_000_000_000  # Pushes a period: products with microseconds stay far below 2^63.
RATE_PER_MS_MAX: Final = 86_400_000  # A day.

READY_BLOCK_JOBS_MAX: Final = 64  # Ready entries in one row: a pull that takes one job rewrites at most 1.5 KB.
WINDOW_JOBS_MAX: Final = 65_536  # Ready entries of one queue kept in memory.
WINDOW_BYTES_MAX: Final = 50_331_648  # Those entries with the job records beside them, all queues together.
"""Reads of jobs that fall out of the windows cost one point read each; results never depend on it (property test)."""

ENTRY_COMMANDS_MAX: Final = (
    4_096  # Commands of one log entry: apply runs on the event loop, so an entry must stay short.
)
JOURNAL_RECORD_BYTES_MAX: Final = (
    67_108_864  # An entry can pass its soft cap by one line of 16 MiB and a turn's pulls; more is no record.
)
JOURNAL_SEGMENT_BYTES: Final = (
    67_108_864  # Design section 6: whole segments are dropped, and one is read whole at start.
)
JOURNAL_AHEAD_BYTES: Final = (
    1_048_576  # Zeros written ahead, so that a sync need not commit file metadata (decision 0003).
)
JOURNAL_RESERVE_BYTES: Final = (
    134_217_728  # Given back on a full disk, so that acks, cancels and purges still fit: a write buffer, as much log.
)
JOURNAL_RESERVE_PERCENT: Final = 4  # Of the disk, at most.
FLUSH_LOG_BYTES: Final = 67_108_864  # Log since the last flush of the store: what a restart has to replay at most.
FLUSH_ENTRIES: Final = 32_768  # Entries since then: about a second of replay, while the flush takes a few hundredths.
FLUSH_INTERVAL_MS: Final = 300_000  # A quiet node flushes too, so that its log can go.
FLUSH_RETRY_MS: Final = 1_000  # After a flush that found no room; the log is still there, so there is no hurry.
DISK_WARN_PERCENT: Final = 80  # Design section 5: use of the file system at which the node warns,
DISK_FULL_PERCENT: Final = 90  # refuses pushes,
DISK_SERVE_PERCENT: Final = 85  # and serves them again.
DISK_CHECK_MS: Final = 1_000  # One statfs a second,
DISK_CHECK_SHARE: Final = 100  # and one for each hundredth of the disk that is written.
DISK_PIECES: Final = 128  # A log segment, a write buffer, the log before a flush: each at most this share of the disk,
DISK_PIECE_BYTES_MIN: Final = 262_144  # but not less than this.
WRITE_BUFFER_BYTES: Final = 67_108_864  # Of the store: a second's worth of rows at our fastest.
FLUSH_WAITS_MAX: Final = 40  # Times TRIM_PACE_MS that making room waits for a flush.
ROOM_PAUSE_MS: Final = 5_000  # Between two rounds of making room, unless pushes are refused or there is more to trim.
TRIM_PACE_MS: Final = 250  # At most four trims a second.
TRIMS_AT_ONCE: Final = 10  # Trims before the room they make is looked at; twice as many each time it was not enough,
TRIMS_AT_ONCE_MAX: Final = 640  # up to this.
COMPACT_PAUSE_MS: Final = 5_000  # Between two compactions for want of room,
COMPACT_TIME_PERCENT: Final = 10  # which take at most this share of the time.
TICK_TIME_PERCENT: Final = 20  # Design 4.3: share of the loop's time that due work may take while clients wait.
TICK_SPACING_MS: Final = 10  # Due rows that trickle in are handled together; no delay is promised to be finer.
CLOCK_SLEW_PERCENT: Final = 10  # Design 4.1: how fast stamped time may run towards the wall clock.

EVENTS_KEPT_MAX: Final = 65_536  # For clients that fall behind or come back; about 20 MB when all are read.
EVENT_CLIENTS_MAX: Final = 10_000  # Followers of the event stream; each can leave 64 KiB unread.
EVENT_CLIENT_BYTES: Final = 65_536  # Written to one follower before the next one has its turn.
EVENT_FILTERS_MAX: Final = 64  # Queues that one follower names: each event is compared with each.
EVENT_MESSAGE_BYTES_MAX: Final = 4_096  # What a follower may say; nothing that it says means anything.
EVENT_PING_MS: Final = 20_000  # A silent follower is pinged so often, and cut when it stays silent as long again.
EVENT_SLICE_US: Final = 1_000  # Telling events holds the loop so long at a time,
EVENT_TIME_PERCENT: Final = 20  # and at most this share of it, however many follow.
EVENT_AHEAD_MAX: Final = 100_000  # Entries that a follower may have seen from another node before this one has them.

UNSENT_BYTES_MAX: Final = (
    134_217_728  # Answers that a TCP client does not read, before its connection is cut: eight pulls of full size.
)
UNREAD_MS_MAX: Final = 30_000  # How long a client may leave a full socket unread before its connection is cut.
AUTH_FAILURES_MAX: Final = 5  # Contract A18: bad tokens of one address before it is locked out.
AUTH_LOCKOUT_MS: Final = 300_000  # Contract A18: failures count this long, and a lockout lasts this long.
AUTH_ADDRESSES_MAX: Final = 10_000  # Addresses with failures that are remembered; about two megabytes.
TOKENS_MAX: Final = 1_000  # All of them are kept in memory, since each request looks at one.
TOKEN_NAME_BYTES_MAX: Final = 256  # Names stand in the log of what administrators did.
TOKEN_ID_BYTES_MAX: Final = 64  # Ours have 16.
SCOPES_MAX: Final = 32  # With the next two: what a token may do fits a row of 300 KB at most.
SCOPE_QUEUES_MAX: Final = 64
SCOPE_VERBS_MAX: Final = 4  # There are no more.
ORIGINS_MAX: Final = 100  # Each request of a browser is compared with all of them.
ACCOUNTS_MAX: Final = 1_000  # Rules of the configuration for ServiceAccounts; each new token is compared with all.
REVIEWED_MAX: Final = 10_000  # ServiceAccount tokens whose verdict is remembered: a kilobyte each.
REVIEWED_TOKEN_BYTES_MAX: Final = 8_192  # Tokens of a cluster have one or two kilobytes.
REVIEWS_MAX: Final = 64  # Tokens that the API server is being asked about at once.
REVIEW_PAUSE_MS: Final = 1_000  # After the API server could not be asked, before it is asked again.
REVIEW_TIMEOUT_S: Final = 5  # For one question to it.
REVIEW_ANSWER_BYTES_MAX: Final = 1_048_576
TLS_CHECK_MS: Final = 5_000  # How often certificate files are looked at; a new one is in force after so long.
TLS_HANDSHAKE_S: Final = 10  # A client that does not complete its handshake is cut off then.
TOKEN_UNKNOWN_MS: Final = 1_000  # A token that nobody in the cluster knew counts as unknown so long, without asking.
AUTH_SHOWN_MS_MAX: Final = 10_000  # A TCP client that has to show a token and has not by then is cut off.
AUTH_TRIES_MAX: Final = 3  # Decisions A9: a TCP connection that gave so many bad tokens is closed.
METRIC_OLDEST_A_TURN: Final = 100  # Queues whose oldest job is looked for at once: two milliseconds if all are on disk.
METRIC_QUEUES_MAX: Final = 1_000  # Queues with series of their own; Prometheus pays for each label value.

NODE_ID_BYTES_MAX: Final = 32  # The header of a log segment has room for so many.
ADDRESS_BYTES_MAX: Final = 300  # A host name of 253 bytes, brackets, a colon, a port.
MEMBER_ID_BYTES_MAX: Final = 52  # A node id, a sign and an incarnation of up to 19 digits.
MEMBERS_MAX: Final = 15  # Every write waits for a majority of the voters; three or five of them are usual.
PEER_GREETING_BYTES_MAX: Final = 4_096  # A frame of somebody who has not said who he is.
PEER_GREETING_MS: Final = 5_000  # From the accepted connection to a valid hello, the TLS handshake included.
PEER_FRAME_BYTES_MAX: Final = JOURNAL_RECORD_BYTES_MAX + 65_536  # The largest record, and what stands around it.
PEER_BUSY_BYTES: Final = 4_194_304  # Unsent to one peer before it is called busy: some rounds of full entries.
PEER_UNSENT_BYTES_MAX: Final = 134_217_728  # Unsent to one peer before it is cut: twice the largest frame or so.
PEER_UNACKED_MS_MAX: Final = 3_000  # Unacknowledged by a peer's system before the link is cut: a healed network is
PEER_REDIAL_MS_MIN: Final = 50  # dialled anew at once instead of waiting for the system's resends,
PEER_REDIAL_MS_MAX: Final = 1_000  # and at least once a second while it is not there.
PEER_CONNECT_MS: Final = 1_000  # One attempt to connect; the next one asks for the address again.
PEER_STRANGERS_MAX: Final = 64  # Connections without a hello; the oldest of the busiest address gives way.
PEER_CONNECTIONS_MAX: Final = 256  # Links from peers; clusters have a handful of members.
REFUSAL_BYTES_MAX: Final = 1_024  # Why a peer is not let in, and what to do about it.
WEBHOOKS_MAX: Final = 1_000  # All definitions are kept in memory: each event is held against their filters.
WEBHOOK_NAME_BYTES_MAX: Final = 256  # Part of an index key and of URLs.
WEBHOOK_URL_BYTES_MAX: Final = 2_048  # What servers and proxies take.
WEBHOOK_SECRET_BYTES_MAX: Final = 256  # Standard Webhooks: 24 to 64 bytes; other schemes have longer texts.
WEBHOOK_HEADERS_MAX: Final = 32
WEBHOOK_HEADER_BYTES_MAX: Final = 4_096  # One value: a bearer token of the usual kinds fits.
WEBHOOK_QUEUES_MAX: Final = 256  # Queues or patterns of one filter, each looked at once for a queue's first event.
WEBHOOK_TIMEOUT_MS_MIN: Final = 100  # Shorter ones would fail by the speed of light.
WEBHOOK_TIMEOUT_MS_MAX: Final = 60_000  # A slow receiver holds one of its own places that long, nobody else's.
WEBHOOK_RETRIES_MAX: Final = 100  # With the longest delay of a day: three months of trying.
WEBHOOK_DELAY_MS_MAX: Final = 86_400_000  # Between two tries.
WEBHOOK_DELAY_MS_DEFAULT: Final = 3_600_000  # The longest delay of a webhook that says nothing of it.
WEBHOOK_DOUBLINGS_MAX: Final = 40  # A second doubled so often passes every delay; more would only make big numbers.
WEBHOOK_OUTBOX_MAX: Final = 10_000  # Deliveries that wait for one webhook; what comes then is dropped and counted.
WEBHOOK_OUTBOX_ALL_MAX: Final = 100_000  # For all webhooks together: about 20 MB of rows.
WEBHOOK_GIVEN_UP_MAX: Final = 1_000  # Deliveries of one webhook that were given up and can be sent again.
WEBHOOK_LOG_MAX: Final = 100  # Last tries of one webhook that `webhook_deliveries` shows.
WEBHOOK_OUTCOMES_MAX: Final = 256  # Outcomes of one internal command: each may look for the oldest given-up delivery.
WEBHOOK_MATCHES_CACHED_MAX: Final = 10_000  # Pairs of event and queue whose webhooks are remembered.
WEBHOOK_ERROR_CHARACTERS_MAX: Final = 200  # Why a try failed, in the log of deliveries.
WEBHOOK_WINDOW_MAX: Final = 1_000  # Waiting deliveries of one webhook that the leader has in memory.
WEBHOOK_SENDS_MAX: Final = 256  # Deliveries on their way at one time, of all webhooks,
WEBHOOK_SENDS_EACH_MAX: Final = 16  # and of one.
WEBHOOK_ANSWER_BYTES_MAX: Final = 65_536  # Of an answer's body are read, to keep the connection; more cuts it.

LOG_RECENT_BYTES: Final = 33_554_432  # Of the log in memory: what followers and apply are fed from without a read.
LOG_KEPT_BYTES: Final = 268_435_456  # Of flushed log that a leader keeps for members that are behind.
APPEND_BYTES_MAX: Final = 1_048_576  # Records of one append to a member, about; one record may be larger.
PEER_UNACKED_BYTES_MAX: Final = 8_388_608  # Sent to a member and not acknowledged, before the leader waits.
APPLY_SLICE_MS: Final = 10  # Of a loop turn for applying what others committed; heartbeats come every 50 ms.
CAMPAIGN_LAG_ENTRIES: Final = 5_000  # Who has so many to apply lets others campaign first: some tenths of a second.
APPLY_READ_BYTES: Final = 65_536  # Read and applied between two looks at the clock: about as long as such a slice.
DIGEST_ENTRIES: Final = 1_024  # Replicas compare their state after so many entries (design 4.5).
DIGESTS_KEPT_MAX: Final = 64  # Of the leader, for a follower that is behind.
STALE_READS_AFTER_MS: Final = 1_000  # Without a leader for so long, reads are answered locally and marked.
READ_RETRY_MS: Final = 100  # Before a question for a read index is put again.
SNAPSHOT_PART_BYTES: Final = 262_144  # Of one message of a snapshot: a loop turn of a member that also serves clients.
SNAPSHOT_PARTS_UNACKED: Final = 8  # Sent and not acknowledged, before the sender waits.
SNAPSHOT_SILENCE_MS: Final = 5_000  # Without an answer for so long, a snapshot is offered anew.
INSTALL_RETRY_MS: Final = 2  # A snapshot is installed between two syncs of the log.
MEMBER_LOOK_MS: Final = 100  # How often a leader looks whether a learner has caught up.
MEMBER_SAID_MS: Final = 1_000  # How often a member tells the leader what it has applied.
BACKUP_PIECE_BYTES: Final = 1_048_576  # Of one answer to `backup_read`.
BACKUP_FILES_MAX: Final = 100_000  # A store of 64 MiB tables and several terabytes.
BACKUP_FILE_NAME_BYTES_MAX: Final = 100
BACKUP_IDLE_MS: Final = 60_000  # A copy that nobody reads for so long is removed.
INVITE_LOOK_MS: Final = 1_000  # How often a restored member looks whether the others run.
REFUSED_ENTRIES_MAX: Final = 1_000  # Entries that a node can be told to refuse; more is no accident any more.
MEMBER_SILENT_MS: Final = 5_000  # What was said longer ago is not told any more.
MEMBER_ASKED_MS: Final = 10_000  # Until a request about the cluster is answered, whoever leads meanwhile.
MEMBER_LEAVING_MS: Final = 1_000  # A link to a removed member stays so long, for what it is still to be told.
MEMBER_FOUND_MS: Final = 2_000  # For a node that is to be taken in to say who it is.
LEARNER_LAG_MS: Final = 1_000  # A learner that holds what was written so long ago has caught up,
LEARNER_STEADY_MS: Final = 500  # if that stays so for a moment.
LAG_SAMPLES_MAX: Final = 600  # A minute of the log's growth; who is behind by more lags by a minute at least.
COMPANY_WAIT_MS: Final = 1  # While many ask at once, before an entry is begun over the few that have come so far.
COMMIT_NOTICE_MS: Final = 5  # Before members that are sent nothing else, and wait for nothing, hear of a commit.
ERRAND_RETRY_MS: Final = 50  # Before a forwarded command that was not taken is sent again.
