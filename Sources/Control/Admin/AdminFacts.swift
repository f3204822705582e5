// What the admin API is asked for, and out of what it answers: the configuration that is served, and
// the memory that workers count in.

import Configuration
import Dataplane

/// What is answered, each at one path. docs/openapi.json describes them, and a test compares the two.
enum AdminPath: String, CaseIterable {
    case dashboard = "/"
    case health = "/lb/health"
    case stats = "/lb/stats"
    case backends = "/lb/backends"
    case config = "/lb/config"
    case sessions = "/lb/sessions"
    case history = "/lb/history"
    case log = "/lb/log"
    case metrics = "/metrics"
}

/// Everything that is shown. A reload makes another one.
struct AdminFacts: @unchecked Sendable {
    let generation: Generation
    var configuration: Configuration { generation.configuration }
    var snapshot: Snapshot { generation.snapshot }
    let engine: Engine
    /// What each listener is bound to.
    let addresses: [[Address]]
    let threads: [WorkerThread]
    let shared: UnsafePointer<SharedState>
    /// Of the process: on the monotonic clock, and since 1970.
    let startedAt: Double
    let startedAtSince1970: Double
    let history: History
    /// nil while it serves.
    let drain: Drain?
    /// What operators changed of backends, and since when they have some out of rotation.
    let operated: RuntimeChanges
    let takenOut: TakenOut
    let logs: RecentLogs

    /// nil for what workers are to be asked for (SessionSearch.swift).
    func answer(_ path: AdminPath, _ request: AdminRequest) throws(AdminRefusal) -> AdminAnswer? {
        switch path {
        case .dashboard:
            return AdminAnswer(
                contentType: "text/html; charset=utf-8", body: Dashboard.page)
        case .health: return health
        case .stats: return .json { Figures(self).write(to: &$0) }
        case .backends: return .json { Figures(self).writePools(to: &$0) }
        case .config:
            return AdminAnswer(
                contentType: "application/yaml", body: Array(configuration.withoutSecrets.rendered().utf8))
        case .sessions: return nil
        case .history: return .json { history.write(to: &$0) }
        case .log:
            var parameters = try AdminParameters(query: request.query, body: [])
            return try logs.answer(
                &parameters, sample: configuration.logs.successSampleShare,
                uptimeMicroseconds: UInt64((monotonicSeconds() - startedAt) * 1e6))
        case .metrics:
            var metrics = MetricsWriter(isOpenMetrics: request.wantsOpenMetrics)
            Figures(self).write(to: &metrics)
            return AdminAnswer(contentType: metrics.contentType, body: metrics.finish())
        }
    }

    /// 503 once Weir is about to end, so that who balances over several of them sends no more.
    private var health: AdminAnswer {
        let command = shared.pointee.command
        return .json(command == .run ? 200 : 503) { writer in
            writer.object {
                $0.string("status", command.word)
                $0.string("version", Version.text)
                $0.number("uptime_s", Int(monotonicSeconds() - startedAt))
                drain.write("draining", sessions: shared.pointee.sessionCount, to: &$0)
            }
        }
    }

    static var notFound: AdminAnswer {
        .json(404) { writer in
            writer.object {
                $0.string("error", "there is nothing at this path")
                $0.array("paths") { paths in
                    AdminPath.allCases.forEach { paths.string(nil, $0.rawValue) }
                    AdminAction.allCases.forEach { paths.string(nil, $0.path) }
                }
            }
        }
    }
}

extension SharedState.Command {
    /// For people and programs.
    var word: String {
        switch self {
        case .run: "serving"
        case .drain: "draining"
        case .stop: "stopping"
        }
    }
}
