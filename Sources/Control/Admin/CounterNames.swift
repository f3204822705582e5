// What a worker's counters are called in JSON and in metrics, and what they mean.

import Telemetry

extension Counter {
    /// In JSON.
    var name: StaticString { described.name }
    /// Of the metric, without `_total`.
    var metric: StaticString { described.metric }
    var help: StaticString { described.help }

    private var described: (name: StaticString, metric: StaticString, help: StaticString) {
        switch self {
        case .accepted: ("accepted", "weir_worker_sessions_accepted", "Client connections accepted.")
        case .finished: ("finished", "weir_worker_sessions_finished", "Sessions ended.")
        case .refused:
            (
                "refused", "weir_worker_sessions_refused",
                "Connections closed at accept: no slot was left, or Weir stopped."
            )
        case .bytesIn: ("bytes_in", "weir_worker_received_bytes", "Bytes from clients, of ended sessions.")
        case .bytesOut: ("bytes_out", "weir_worker_sent_bytes", "Bytes to clients, of ended sessions.")
        case .connects: ("connects", "weir_worker_connects", "Attempts to connect to a backend.")
        case .connectFailures:
            (
                "connect_failures", "weir_worker_connect_failures",
                "Attempts to connect to a backend that failed."
            )
        case .acceptPauses:
            (
                "accept_pauses", "weir_worker_accept_pauses",
                "Times accepting paused at a limit or for lack of descriptors."
            )
        case .buffersExhausted:
            (
                "buffers_exhausted", "weir_worker_buffers_exhausted",
                "Times a receive found no buffer in the ring."
            )
        case .spliceUpgrades:
            ("splice_upgrades", "weir_worker_splice_upgrades", "Directions that went over to splice.")
        case .spliceDowngrades:
            ("splice_downgrades", "weir_worker_splice_downgrades", "Directions that came back from splice.")
        case .staleCompletions:
            (
                "stale_completions", "weir_worker_ring_stale_completions",
                "Completions of an owner that was gone."
            )
        case .turns: ("turns", "weir_worker_ring_turns", "Turns of the loop.")
        case .completions: ("completions", "weir_worker_ring_completions", "Completions handled.")
        case .requests: ("requests", "weir_worker_requests", "Http requests ended.")
        case .responses1xx:
            ("responses_1xx", "weir_worker_responses_1xx", "Http requests answered with 1xx (tunnels).")
        case .responses2xx: ("responses_2xx", "weir_worker_responses_2xx", "Http requests answered with 2xx.")
        case .responses3xx: ("responses_3xx", "weir_worker_responses_3xx", "Http requests answered with 3xx.")
        case .responses4xx: ("responses_4xx", "weir_worker_responses_4xx", "Http requests answered with 4xx.")
        case .responses5xx: ("responses_5xx", "weir_worker_responses_5xx", "Http requests answered with 5xx.")
        case .requestsUnanswered:
            (
                "requests_unanswered", "weir_worker_requests_unanswered",
                "Http requests given up without an answer."
            )
        case .requestsReplayed:
            (
                "requests_replayed", "weir_worker_requests_replayed",
                "Http requests sent again because a kept connection had been closed or, in a batch, because of those before them."
            )
        case .requestsBatched:
            (
                "requests_batched", "weir_worker_requests_batched",
                "Http requests sent behind others on their connection (keep_alive.batch)."
            )
        case .pended:
            ("pended", "weir_worker_pended", "Sessions and requests that waited for a place at a backend.")
        case .retries:
            (
                "retries", "weir_worker_retries",
                "Tries of a request after its first one, by the rules of retry."
            )
        case .retriesOverBudget:
            (
                "retries_over_budget", "weir_worker_retries_over_budget",
                "Http requests not tried again because too many of their pool were."
            )
        case .hedgesWon:
            ("hedges_won", "weir_worker_hedges_won", "Http requests whose hedge answered first.")
        case .hedgesLost:
            ("hedges_lost", "weir_worker_hedges_lost", "Hedges of http requests that came to nothing.")
        case .rateKeysForgotten:
            (
                "rate_keys_forgotten", "weir_worker_rate_keys_forgotten",
                "Keys that a rate limit forgot early because its table was full."
            )
        case .logDropped: ("log_records_dropped", "weir_worker_log_records_dropped", "Log records lost.")
        }
    }
}
