// Every arrow of the diagram in docs/health.md, and no other.

import Balancing
import Base
import Glibc
import Testing

@testable import Health

@Suite struct StateTests {
    /// Brings backend 0 of a fresh pool into a state.
    private func clinic(in state: BackendState, slowStart: UInt64) -> Clinic {
        // Ejected or unhealthy before, so that the way leads through warming.
        var clinic = Clinic(everything(slowStart: slowStart))
        clinic.check(0, passes: true)
        switch state {
        case .healthy: break
        case .warming:
            clinic.check(0, passes: false, times: 3)
            clinic.check(0, passes: true, times: 2)
        case .degraded:
            clinic.succeed(0, times: 12)
            clinic.fail(0, times: 3)
            clinic.succeed(0)
            clinic.fail(0, times: 4)
            clinic.succeed(0)
        case .unhealthy: clinic.check(0, passes: false, times: 3)
        case .ejected: clinic.fail(0, times: 5)
        case .draining: clinic.order(.drain, 0)
        case .disabled: clinic.order(.disable, 0)
        }
        clinic.tick()
        #expect(clinic.state(0) == state)
        return clinic
    }

    /// All that may happen to a backend.
    private static let happenings: [@Sendable (inout Clinic) -> Void] = [
        { $0.fail(0, times: 5) },
        { clinic in
            clinic.succeed(0, times: 12)
            clinic.fail(0, times: 3)
            clinic.succeed(0)
            clinic.fail(0, times: 4)
        },
        { $0.succeed(0, times: 100) },
        { $0.check(0, passes: true, times: 2) },
        { $0.check(0, passes: false, times: 3) },
        { $0.pass(9 * second) },
        { clinic in
            clinic.pass(11 * second)
            clinic.tryOut(0, passes: true)
        },
        { clinic in
            clinic.pass(11 * second)
            clinic.tryOut(0, passes: false)
        },
        { $0.order(.drain, 0) },
        { $0.order(.disable, 0) },
        { $0.order(.enable, 0) },
        { clinic in
            clinic.check(0, passes: false, times: 3)
            clinic.order(.enable, 0)
        },
    ]

    @Test func everyArrowOfTheDiagramIsWalkedAndNoOther() throws {
        var walked: Set<Arrow> = []
        for slowStart in [0, 10 * second] {
            for state in BackendState.allCases where slowStart > 0 || state != .warming {
                for happening in Self.happenings {
                    var clinic = clinic(in: state, slowStart: slowStart)
                    clinic.events = []
                    happening(&clinic)
                    clinic.tick()
                    if let change = clinic.changes.first {
                        walked.insert(Arrow(from: change.from, to: change.to))
                    }
                }
            }
        }
        let documented = try Self.documentedArrows()
        #expect(documented.count == 33)
        #expect(walked == documented)
    }

    /// Anything in any order leads along the arrows only, and each change begins where the last one ended.
    @Test(arguments: UInt64(0)..<40) func whateverHappensLeadsAlongTheArrows(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var clinic = Clinic(everything(slowStart: random.next(below: 2) == 0 ? 0 : 5 * second))
        for _ in 0..<300 {
            Self.happenings[Int(random.next(below: UInt32(Self.happenings.count)))](&clinic)
            clinic.tick()
        }
        #expect(clinic.arrows.isSubset(of: try Self.documentedArrows()))
        var state = BackendState.healthy
        for change in clinic.changes {
            #expect(change.from == state)
            state = change.to
        }
        #expect(clinic.state(0) == state)
        #expect(clinic.health.ejectedCount == (state == .ejected ? 1 : 0))
    }

    @Test func anOperatorsWordLastsUntilTheNextAndFreesTheSeatOfWhoIsEjected() {
        var clinic = Clinic(everything())
        clinic.fail(0, times: 5)
        clinic.tick()
        #expect(clinic.health.ejectedCount == 1)
        clinic.order(.drain, 0)
        #expect(clinic.health.ejectedCount == 0)
        clinic.pass(1000 * second)
        clinic.fail(0, times: 100)
        clinic.order(.disable, 1)
        clinic.tick()
        #expect(clinic.state(0) == .draining)
        #expect(clinic.state(1) == .disabled)
        #expect(clinic.changes.filter { $0.cause == .ordered }.map(\.to) == [.draining, .disabled])
        clinic.events = []
        clinic.follow([nil, nil, nil, nil])
        #expect(clinic.changes.map(\.from) == [.draining, .disabled])
        #expect((0..<4).allSatisfy { clinic.state($0) == .healthy })
    }

    @Test func whoJoinsGetsItsShareSlowlyAndTheOthersKeepTheirs() {
        var clinic = Clinic(everything(slowStart: 10 * second))
        clinic.follow([nil, nil, nil, nil], joining: [2])
        clinic.tick()
        #expect((0..<4).map(clinic.state) == [.healthy, .healthy, .warming, .healthy])
        #expect(clinic.changes.isEmpty)
        clinic.pass(11 * second)
        #expect(clinic.state(2) == .healthy)
    }

    @Test func whoIsDrainedAtTheStartIsNoNews() {
        let plan = PolicyPlan(.roundRobin, [BackendShare(identity: 1, weight: 1)], panicPercent: 0)
        let health = PoolHealth(everything(), plan.candidates)
        health.order(0, .draining)
        var keeper = Keeper([health])
        var events: [HealthEvent] = []
        keeper.tick(now: second) { events.append($0) }
        #expect(events.isEmpty)
    }

    /// The rows `| from | to | cause |` of the table.
    private static func documentedArrows() throws -> Set<Arrow> {
        let text = try contents(of: "docs/health.md")
        var arrows: Set<Arrow> = []
        for line in text.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map(states)
            guard cells.count == 3, !cells[0].isEmpty, !cells[1].isEmpty else { continue }
            for from in cells[0] { for to in cells[1] { arrows.insert(Arrow(from: from, to: to)) } }
        }
        return arrows
    }

    private static func states(_ cell: Substring) -> [BackendState] {
        let words = cell.split(separator: "`").map(String.init)
        return BackendState.allCases.filter { words.contains("\($0.name)") }
    }

    private static func contents(of path: String) throws -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let file = try #require(fopen("/\(root)/\(path)", "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
