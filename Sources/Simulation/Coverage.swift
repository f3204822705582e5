// Counts of what the worlds reached, in memory that outlives a crash of the process that runs them. What was
// never reached is as telling as what was.

import Dataplane
import SimulatedKernel

/// A flat table of counts: faults, reasons, causes, then states and single happenings.
public struct Coverage {
    public enum Happening: Int, CaseIterable {
        case sessions, turns, completions, drained, stopped, refused, acceptPaused
        case buffersExhausted, starved, splicedUp, splicedDown, overflowedCompletions
        case logRecords, logRecordsDropped, unknownClients, staleCompletions
        case bytesIn, bytesOut, waits, retries, retriesOverBudget, ejected, onTrial
        case readmitted, warmed, degraded, panicked, hedgesWon, hedgesLost, reloads, shared
    }

    private static let faultCount = Fault.allCases.count
    private static let reasonCount = Reason.allCases.count
    private static let pairCount = SessionView.Phase.allCases.count * SessionView.Phase.allCases.count
    private static let stateCount = SessionView.State.allCases.count

    /// How many numbers there are.
    public static var size: Int {
        faultCount + 2 * reasonCount + pairCount + stateCount + Happening.allCases.count
    }

    private let counts: UnsafeMutablePointer<UInt64>

    /// `memory` has room for `size` numbers.
    public init(_ memory: UnsafeMutablePointer<UInt64>) { counts = memory }

    /// Reasons are of two kinds: why a session ended, and why its last connect failed.
    private static func isCause(_ name: String) -> Bool {
        name.hasPrefix("connect_")
            || ["timeout_connect", "backends_full", "out_of_descriptors", "backend_removed"].contains(name)
    }

    private static func endsSessions(_ name: String) -> Bool {
        !isCause(name) || ["out_of_descriptors", "backend_removed"].contains(name)
    }

    func add(fault: Fault, _ amount: UInt64) { counts[fault.rawValue] += amount }
    func add(reason: Reason) { counts[Self.faultCount + Int(reason.rawValue)] += 1 }
    func add(cause: Reason) { counts[Self.faultCount + Self.reasonCount + Int(cause.rawValue)] += 1 }

    func add(_ view: SessionView) {
        let states = Self.faultCount + 2 * Self.reasonCount
        counts[states + view.state.rawValue] += 1
        guard view.state == .relaying else { return }
        let width = SessionView.Phase.allCases.count
        counts[states + Self.stateCount + view.toBackend.rawValue * width + view.toClient.rawValue] += 1
    }

    func add(_ happening: Happening, _ amount: UInt64 = 1) {
        counts[Self.size - Happening.allCases.count + happening.rawValue] += amount
    }

    /// Every name with its count, in groups.
    public func groups() -> [(title: String, entries: [(name: String, count: UInt64)])] {
        var next = 0
        func take(_ names: [String]) -> [(name: String, count: UInt64)] {
            defer { next += names.count }
            return names.enumerated().map { ($1, counts[next + $0]) }
        }
        let phases = SessionView.Phase.allCases
        let pairs = phases.flatMap { up in phases.map { "\(up)/\($0)" } }
        return [
            ("faults", take(Fault.allCases.map(\.name))),
            ("reasons", take(Reason.allCases.map { "\($0.name)" }).filter { Self.endsSessions($0.name) }),
            ("causes", take(Reason.allCases.map { "\($0.name)" }).filter { Self.isCause($0.name) }),
            ("states", take(SessionView.State.allCases.map { "\($0)" })),
            ("relays (to backend/to client)", take(pairs)),
            ("happenings", take(Happening.allCases.map { "\($0)" })),
        ]
    }
}
