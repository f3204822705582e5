// The figures as metrics; docs/metrics.md lists them. How many series there are follows from the configuration: no
// label is made of anything that a client sends.

import Balancing
import Configuration
import Dataplane
import Telemetry

extension Figures {
    func write(to metrics: inout MetricsWriter) {
        writeProcess(to: &metrics)
        writeListeners(to: &metrics)
        writeHistogram(to: &metrics)
        writePools(to: &metrics)
        writeBackends(to: &metrics)
        writeWorkers(to: &metrics)
    }

    private func writeProcess(to metrics: inout MetricsWriter) {
        metrics.family("weir_build", .info, "Version and kernel interface.")
        metrics.sample(.init(("version", Version.text), ("engine", engine)), 1)
        metrics.family(
            "weir_serving", .gauge, "1 while new sessions are accepted, 0 while draining or stopping.")
        metrics.sample(.none, status == "serving" ? 1 : 0)
        metrics.family("weir_sessions", .gauge, "Client connections now.")
        metrics.sample(.none, sessions)
        metrics.family("weir_session_limit", .gauge, "Client connections at which accepting pauses.")
        metrics.sample(.none, sessionLimit)
        metrics.family("weir_sessions_finished", .counter, "Sessions ended, by the reason in the log.")
        for (reason, count) in zip(Reason.allCases, reasons) {
            metrics.sample(.init(("reason", String(describing: reason.name))), count)
        }
        metrics.family("process_start_time_seconds", .gauge, "When this process started, since 1970.")
        metrics.sample(.none, microseconds: UInt64(startedAtSince1970 * 1e6))
        metrics.family("process_cpu_seconds", .counter, "Processor time of this process.")
        metrics.sample(.none, microseconds: processorMicroseconds)
        metrics.family("process_resident_memory_bytes", .gauge, "Resident memory of this process.")
        metrics.sample(.none, residentBytes)
    }

    // MARK: - Listeners

    private func writeListeners(to metrics: inout MetricsWriter) {
        let labels = listeners.map { MetricsWriter.Labels(("listener", $0.name), ("mode", $0.mode.rawValue)) }
        func each(
            _ name: StaticString, _ kind: MetricsWriter.Kind, _ help: StaticString,
            _ value: (ListenerFigures) -> UInt64
        ) {
            metrics.family(name, kind, help)
            for (listener, labels) in zip(listeners, labels) { metrics.sample(labels, value(listener)) }
        }
        each("weir_listener_sessions", .gauge, "Client connections now.") { UInt64($0.sessions) }
        each("weir_listener_sessions_accepted", .counter, "Client connections accepted.") { $0[.accepted] }
        each("weir_listener_sessions_finished", .counter, "Sessions ended.") { $0[.finished] }
        each("weir_listener_failed", .counter, "Sessions (http: requests) whose reason is not ok.") {
            $0[.failed]
        }
        each("weir_listener_received_bytes", .counter, "Bytes from clients, of ended sessions.") {
            $0[.bytesIn]
        }
        each("weir_listener_sent_bytes", .counter, "Bytes to clients, of ended sessions.") { $0[.bytesOut] }
        metrics.family(
            "weir_listener_responses", .counter,
            "Http requests, by the class of the status that the client was sent; none: given up.")
        for (listener, labels) in zip(listeners, labels) where listener.mode == .http {
            for (name, counter) in ListenerFigures.responses {
                metrics.sample(labels.with("code", String(describing: name)), listener[counter])
            }
            metrics.sample(labels.with("code", "none"), listener[.unanswered])
        }
    }

    private func writeHistogram(to metrics: inout MetricsWriter) {
        metrics.family(
            "weir_listener_duration_seconds", .histogram,
            "How long requests took (mode tcp: sessions), from the first byte of the head to the last of the answer."
        )
        let bounds = (0..<DurationBuckets.count).map { index in
            DurationBuckets.boundMicroseconds(index).map(MetricsWriter.seconds) ?? "+Inf"
        }
        for listener in listeners {
            let labels = MetricsWriter.Labels(("listener", listener.name), ("mode", listener.mode.rawValue))
            var count: UInt64 = 0
            for (bound, inBucket) in zip(bounds, listener.durations) {
                count &+= inBucket
                metrics.sample(labels.with("le", bound), part: "_bucket", count)
            }
            metrics.sample(labels, part: "_sum", microseconds: listener[.durationMicroseconds])
            metrics.sample(labels, part: "_count", count)
        }
    }

    // MARK: - Pools and backends

    private func writePools(to metrics: inout MetricsWriter) {
        func each(_ name: StaticString, _ help: StaticString, _ value: (PoolFigures) -> Int) {
            metrics.family(name, .gauge, help)
            for pool in pools { metrics.sample(.init(("pool", pool.name)), value(pool)) }
        }
        each("weir_pool_backends", "Backends of the pool.") { $0.backends.count }
        each("weir_pool_usable_backends", "Backends that health and operators let take sessions.") { pool in
            pool.backends.reduce(0) { $0 + ($1.state.takesNothing ? 0 : 1) }
        }
        each("weir_pool_full_backends", "Backends that have as many sessions as they may.") { $0.full }
        each("weir_pool_pending", "Sessions and requests that wait for a place.") { $0.pending }
        each("weir_pool_panic", "1 while so few backends are well that health is ignored.") {
            $0.isPanicking ? 1 : 0
        }
    }

    private func writeBackends(to metrics: inout MetricsWriter) {
        let all = pools.flatMap { pool in
            pool.backends.map { backend in
                (backend, MetricsWriter.Labels(("pool", pool.name), ("backend", backend.name)))
            }
        }
        func each(
            _ name: StaticString, _ kind: MetricsWriter.Kind, _ help: StaticString,
            _ value: (BackendFigures) -> UInt64
        ) {
            metrics.family(name, kind, help)
            for (backend, labels) in all { metrics.sample(labels, value(backend)) }
        }
        each("weir_backend_active", .gauge, "Sessions and requests that hold it now.") { UInt64($0.active) }
        each("weir_backend_weight", .gauge, "As configured.") { UInt64($0.weight) }
        metrics.family("weir_backend_weight_share_ratio", .gauge, "The part of its weight that it has now.")
        for (backend, labels) in all {
            metrics.sample(labels, microseconds: UInt64(backend.share) * 1_000_000 / 256)
        }
        metrics.family(
            "weir_backend_state", .info, "healthy, warming, degraded, unhealthy, ejected, draining, disabled."
        )
        for (backend, labels) in all {
            metrics.sample(labels.with("state", String(describing: backend.state.name)), 1)
        }
        each("weir_backend_tries", .counter, "Sessions and requests that it was chosen for.") { $0[.tries] }
        each("weir_backend_failures", .counter, "What health holds against it, 5xx included.") {
            $0[.failures]
        }
        each("weir_backend_connect_failures", .counter, "Attempts to connect that failed.") {
            $0[.connectFailures]
        }
        each("weir_backend_received_bytes", .counter, "Bytes from clients that it had.") { $0[.bytesIn] }
        each("weir_backend_sent_bytes", .counter, "Bytes to clients that it had.") { $0[.bytesOut] }
        metrics.family(
            "weir_backend_answer_seconds", .summary,
            "From the request to the first byte of its answer; mode tcp: time to connect.")
        for (backend, labels) in all {
            metrics.sample(labels, part: "_sum", microseconds: backend[.answerMicroseconds])
            metrics.sample(labels, part: "_count", backend[.answers])
        }
    }

    // MARK: - Workers

    private func writeWorkers(to metrics: inout MetricsWriter) {
        metrics.family("weir_worker_up", .gauge, "1 while the worker serves.")
        let labels = workers.indices.map { MetricsWriter.Labels(("worker", String($0))) }
        for (worker, labels) in zip(workers, labels) {
            metrics.sample(labels, worker.state == .serving ? 1 : 0)
        }
        for counter in Counter.allCases {
            metrics.family(counter.metric, .counter, counter.help)
            for (worker, labels) in zip(workers, labels) {
                metrics.sample(labels, worker.counters[counter.rawValue])
            }
        }
    }
}
