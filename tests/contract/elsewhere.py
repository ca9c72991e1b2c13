"""Rows that no question and answer can show, and the tests that show them; or why there is nothing to show."""

from typing import Final

TESTS: Final[dict[str, str]] = {
    "A4 events": "unit/test_api_events.py::test_a_node_tells_the_life_of_a_job",
    "A7 pipelining": "unit/test_tcp.py::test_answers_come_in_the_order_of_their_lines, "
    "unit/test_tcp.py::test_a_pipelined_pull_sees_the_push_before_it",
    "A11 retention": "unit/test_machine_time.py::test_retention_by_age",
    "A14 tick": "unit/test_machine_time.py::test_a_delayed_job_becomes_ready_at_its_time_and_not_before, "
    "unit/test_machine_time.py::test_a_time_out_ends_a_try_whatever_heartbeats_say",
    "A14 retention": "unit/test_machine_time.py::test_retention_by_age, unit/test_settings.py::"
    "test_what_apply_depends_on_reaches_the_machine",
    "A15 storage": "unit/test_webhook_node.py::test_what_waits_is_delivered_after_a_restart",
    "A15 delivery": "unit/test_webhook_node.py::test_the_life_of_a_job_arrives_signed_and_in_order",
    "A15 headers": "unit/test_webhook_node.py::test_the_life_of_a_job_arrives_signed_and_in_order, "
    "unit/test_webhook_signing.py::test_an_unsigned_webhook_still_has_an_id_and_a_time",
    "A15 success": "unit/test_webhook_sender.py::test_an_answer_is_what_its_status_says, "
    "unit/test_webhook_sender.py::test_a_redirect_is_not_followed",
    "A15 retries": "unit/test_machine_webhooks.py::"
    "test_a_failed_delivery_is_tried_as_the_original_does_and_then_given_up",
    "A15 timeout": "unit/test_webhook_sender.py::test_a_receiver_without_an_answer_costs_its_time_and_no_more",
    "A15 concurrency": "unit/test_webhook_duty.py::test_events_of_one_job_go_one_after_the_other, "
    "unit/test_webhook_duty.py::test_receivers_that_hang_hold_up_nobody_else",
    "A15 missing": "conformance/test_verbs_webhooks.py::test_every_way_gives_the_same_whole_answer, "
    "unit/test_webhook_sender.py::test_without_leave_nothing_inside_is_called",
    "A16 events": "unit/test_api_events.py::test_a_node_tells_the_life_of_a_job, "
    "unit/test_events_cluster.py::test_every_member_tells_the_same_under_the_same_cursors",
    "A18 lockout": "unit/test_a30.py::test_a_lockout_counts_the_peer_and_not_a_header, "
    "unit/test_tcp.py::test_three_bad_tokens_close_the_connection_and_five_lock_the_address_out",
    **dict.fromkeys(
        (*("A19 server", "A19 storage", "A19 scheduler", "A19 cluster", "D 33"),),
        "unit/test_settings.py::test_the_originals_file_works_and_every_key_without_effect_is_named",
    ),
    "A19 auth": "unit/test_original_file.py::test_tokens_open_the_door",
    "A19 retention": "unit/test_settings.py::test_what_apply_depends_on_reaches_the_machine",
    **dict.fromkeys(
        ("A19 dashboard", "A19 metrics"),
        "unit/test_original_file.py::test_pages_and_metrics_stand_where_the_file_says, "
        "unit/test_original_file.py::test_pages_and_metrics_go_where_the_file_wants_none",
    ),
    "A19 webhooks": "unit/test_original_file.py::test_webhooks_are_there",
    **dict.fromkeys(
        ("A19 jobs", "D 15"),
        "unit/test_original_file.py::test_jobs_have_the_defaults_of_the_file, "
        "unit/test_original_file.py::test_a_job_without_heartbeats_stalls_when_the_file_says, "
        "unit/test_original_file.py::test_a_chain_is_as_deep_as_the_file_allows",
    ),
    "A19 queues": "unit/test_original_file.py::test_a_queue_has_the_rate_of_the_file_and_others_have_none",
    "D start durability": "unit/test_settings.py::test_what_may_cost_jobs_needs_consent",
    "A26 deployment": "../e2e/examples/test_compose.py::test_compose_takes_the_files, "
    "../e2e/examples/test_monitoring.py::test_prometheus_takes_every_query_of_the_dashboards",
    "A19 logging": "unit/test_logs.py::test_the_level_decides_what_is_shown",
    "A19 tls": "unit/test_tls.py::test_the_section_of_the_original_is_about_tcp_alone",
    "A20 ports": "unit/test_settings.py::test_later_sources_win",
    "A20 host": "unit/test_cli_parsing.py::test_where_the_node_is",
    "A20 log": "unit/test_logs.py::test_the_level_decides_what_is_shown",
    "A20 telemetry": "unit/test_traces.py::test_a_trace_leads_from_the_push_over_the_node_to_the_handler",
    "A20 serve": "unit/test_settings.py::test_every_key_can_be_a_flag",
    **dict.fromkeys(
        (
            *("A20 status", "A20 push", "A20 inspect", "A20 schedules list", "A20 schedules create"),
            "A20 schedules delete pause resume",
        ),
        "unit/test_cli_original.py::test_the_command_lines_of_the_original_are_understood",
    ),
    "A20 help version": "unit/test_cli_parsing.py::test_the_version_is_told",
    **dict.fromkeys(
        ("A21 job counters", "A21 http requests", "D 22"),
        "unit/test_metrics.py::test_a_node_counts_what_its_clients_do_and_nothing_in_a_replay",
    ),
    "A21 schedules fired": "unit/test_monitoring.py::test_every_metric_that_is_asked_for_is_there",
    "A21 webhooks": "unit/test_monitoring.py::test_every_metric_that_is_asked_for_is_there",
    "A21 rate limit": "unit/test_metrics.py::"
    "test_pushes_that_a_limit_refused_are_counted_by_a_bounded_number_of_queues",
    "A21 queue gauges": "unit/test_metrics.py::test_depths_have_a_label_for_each_queue_and_one_for_the_rest",
    "A21 live gauges": "unit/test_monitoring.py::test_every_metric_that_is_asked_for_is_there",
    "A21 durations": "unit/test_metrics.py::test_durations_are_real_histograms",
    "A21 http durations": "unit/test_metrics.py::test_durations_are_real_histograms",
    "A22 dashboard": "unit/test_api_pages.py::test_a_page_comes_with_what_guards_it",
    "A22 panels": "browser/test_pages.py::test_dead_letters_are_retried_one_or_all, "
    "browser/test_pages.py::test_a_schedule_is_paused_and_run",
    "A22 refresh": "browser/test_pages.py::test_events_appear_as_they_happen",
    "A22 other pages": "unit/test_api_pages.py::test_pages_are_read_and_nothing_else",
    "A22 openapi": "unit/test_openapi.py::test_every_route_is_described_and_nothing_else",
    "A23 redb": "unit/test_a30.py::test_a_restart_forgets_no_job",
    "A23 buffered": "unit/test_settings.py::test_a_group_commit_waits_only_where_that_was_asked_for",
    "A23 hybrid": "unit/test_a30.py::test_no_acknowledged_write_waits_for_a_snapshot",
    "A23 in_memory": "conformance/test_kv.py::test_behaves_as_a_sorted_dict",
    "A24 builders": "unit/test_embedded.py::test_the_root_offers_it_and_stays_light",
    "A24 methods": "unit/test_embedded.py::test_the_methods_of_the_contract",
    "A24 workflow": "unit/test_workflow.py::test_a_stage_gets_what_the_one_before_it_made",
    "A24 registry": "unit/test_embedded.py::test_the_registry_dispatches_by_metadata_then_by_queue",
    "A24 dispatch": "unit/test_embedded.py::test_the_registry_dispatches_by_metadata_then_by_queue",
    "A24 axum": "unit/test_embedded.py::test_the_example_in_a_web_application",
    "A24 metrics": "unit/test_metrics.py::test_events_are_counted_by_job",
    "A24 auth helpers": "unit/test_auth.py::test_a_wrong_header_says_what_is_wrong",
    "D 10": "unit/test_a30.py::test_a_lockout_counts_the_peer_and_not_a_header, "
    "unit/test_visitors.py::test_a_lockout_is_of_the_address_behind_the_proxy",
    "D 18": "unit/test_machine_time.py::test_a_queue_has_its_own_retention",
    "D 23": "unit/test_cli_original.py::test_the_command_lines_of_the_original_are_understood, "
    "unit/test_cli_commands.py::test_refusals_are_one_line_and_code_1",
    "D 24": "unit/test_a30.py::test_other_origins_are_not_let_in, unit/test_visitors.py::test_a_listed_page_is_let_in",
    "D 26": "unit/test_openapi.py::test_the_document_is_valid",
    "D 32": "unit/test_api_events.py::test_events_pings_and_goodbyes",
    "D 34": "unit/test_webhook_signing.py::test_both_secrets_sign_during_rotation",
    "D 35": "unit/test_machine_webhooks.py::test_a_failed_delivery_is_tried_as_the_original_does_and_then_given_up",
    "D 36": "unit/test_embedded.py::test_the_methods_of_the_contract, "
    "unit/test_embedded.py::test_a_second_opener_is_refused",
    "D 37": "unit/test_webhook_guard.py::test_the_operator_opens_networks_but_never_own_ports_nor_embedded_addresses",
    "D name unknown outcome": "unit/test_gateway.py::"
    "test_a_command_that_the_log_does_not_answer_has_an_unknown_outcome, "
    "unit/test_gateway.py::test_a_full_disk_refuses_pushes_only",
    "D name undeclared queues": "unit/test_machine_push.py::test_without_auto_create_only_declared_queues_take_jobs",
    "D start single node": "unit/test_settings.py::test_without_any_source_the_defaults_apply",
    "D start cluster": "unit/test_settings_cluster.py::test_good_ones",
    "D start operating it": "unit/test_membership.py::test_a_node_is_taken_in_votes_and_leaves, "
    "unit/test_membership.py::test_leadership_moves_and_a_leader_can_be_removed",
    "D start local cluster": "unit/test_local_cluster.py::test_a_cluster_to_play_with_serves_and_stops",
    "D start storage": "unit/test_settings.py::test_the_originals_file_works_and_every_key_without_effect_is_named",
    "D start secrets": "unit/test_seal.py::test_a_key_file_is_made_once_for_its_owner_only",
    "D detail jobs with a known key": "unit/test_second_system.py::test_a_key_finds_its_job_again",
    "D detail flags of settings": "unit/test_settings.py::test_every_key_can_be_a_flag",
    "D detail cors host": "unit/test_visitors.py::test_a_listed_page_is_let_in, "
    "unit/test_visitors.py::test_a_foreign_name_is_refused_but_for_probes",
    "D detail second webhook secret": "unit/test_webhook_signing.py::test_both_secrets_sign_during_rotation",
    "D detail tcp verbs": "test_vocabulary.py::test_http_has_a_route_for_every_verb",
    "A31 api_jobs": "contract/test_contract.py::test_every_case_gets_its_answers",
    "A31 dag_flow_tests": "contract/test_contract.py::test_every_case_gets_its_answers",
    "A31 job_chaining_tests": "contract/test_contract.py::test_every_case_gets_its_answers",
    "A31 scheduler_integration": "contract/test_contract.py::test_every_case_gets_its_answers",
    "A31 websocket_events": "unit/test_api_events.py::test_a_node_tells_the_life_of_a_job",
    "A31 storage_backend_tests": "conformance/test_kv.py::test_behaves_as_a_sorted_dict, "
    "conformance/test_kv.py::test_scan_takes_the_range",
    "A31 chaos_tests": "chaos/test_crash.py::test_two_kills_lose_nothing, "
    "unit/test_a30.py::test_fifty_parallel_pushes_of_one_unique_key_have_one_winner",
    "A31 others": "unit/test_a30.py::test_other_origins_are_not_let_in, "
    "unit/test_cli_parsing.py::test_every_help_shows_examples",
    "B2 metrics": "unit/test_second_system.py::test_health_and_metrics",
    "B4 recovery": "unit/test_machine_time.py::test_a_lease_that_lapses_is_a_failed_try",
    "B5 backoff": "unit/test_machine_kinds.py::test_a_job_goes_through_its_statuses",
    "B5 executor": "unit/test_worker_process.py::test_an_executor_of_our_own_is_put_to_work_by_name",
    "B5 simulator": "unit/test_worker_process.py::test_the_simulator_works_on_the_four_kinds",
    "B5 runtime": "unit/test_worker_process.py::test_flags_come_before_variables_and_variables_before_defaults",
    **dict.fromkeys(
        ("B6 started", "B6 completed", "B6 duration"),
        "unit/test_worker_process.py::test_jobs_run_and_are_counted_by_kind_and_outcome",
    ),
    "B6 environment": "unit/test_settings_second_system.py::test_its_variables_mean_keys_of_ours",
    "B7 queue_ops": "unit/test_machine_kinds.py::test_a_new_job_is_answered_whole, "
    "unit/test_machine_kinds.py::test_lists_are_filtered_and_newest_first",
    "B7 worker_dequeue": "unit/test_worker_process.py::test_the_compose_file_of_the_second_system",
    "B7 two workers": "unit/test_worker_process.py::test_two_processes_run_each_job_once",
    "B7 unit": "unit/test_gateway_schemas.py::test_the_kinds_that_are_built_in",
    "D second 6": "unit/test_worker_process.py::test_the_small_port",
    "D second 7": "unit/test_worker_process.py::test_a_running_job_stops_at_its_next_step",
    "D second 8": "unit/test_machine_time.py::test_a_lease_that_lapses_is_a_failed_try",
    "Faults receiver that hangs": "unit/test_webhook_sender.py::"
    "test_a_receiver_without_an_answer_costs_its_time_and_no_more, "
    "unit/test_webhook_duty.py::test_receivers_that_hang_hold_up_nobody_else",
    "Faults receiver that lies": "unit/test_webhook_sender.py::test_an_answer_is_what_its_status_says",
    "Faults receiver that answers slowly": "unit/test_webhook_sender.py::"
    "test_a_receiver_without_an_answer_costs_its_time_and_no_more, "
    "unit/test_webhook_sender.py::test_a_body_without_an_end_is_not_read_to_its_end",
    "Faults receiver that redirects": "unit/test_webhook_sender.py::test_a_redirect_is_not_followed",
    "Faults receiver that is down for a day": "unit/test_webhook_duty.py::"
    "test_a_receiver_that_is_down_for_a_day_holds_up_nobody_and_gets_everything_then",
    "Faults full outbox": "unit/test_machine_webhooks.py::test_a_full_outbox_drops_and_counts_and_holds_nothing_up, "
    "unit/test_machine_webhooks.py::test_all_outboxes_together_are_bounded",
    "Faults stalled followers": "unit/test_api_events.py::"
    "test_a_follower_that_does_not_read_is_cut_and_the_rest_go_on, unit/test_event_stream.py::"
    "test_sleepers_cost_nothing",
    "Faults secrets": "unit/test_canaries.py::test_no_secret_sings, unit/test_token_secrets.py::"
    "test_tokens_are_in_no_file_log_list_metric_or_error, unit/test_webhook_node.py::test_no_secret_shows_anywhere",
}
"""Row -> tests, with commas between, as `file::function` below `tests/`."""

NOT_SHOWN: Final[dict[str, str]] = {
    "A23 sqlite": "a later round (decisions A27); the port and its conformance suite are there",
    "A23 postgres": "a later round (decisions A27); the port and its conformance suite are there",
    "D 27": "a later round; the port and its conformance suite are there",
    "A24 features": "build features of a Rust crate; ours are extras of a Python package",
}
"""Row -> the reason."""
