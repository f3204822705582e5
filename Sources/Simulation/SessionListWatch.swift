// Has the worker list its sessions now and then, between two turns, and compares the list with what they are doing and with
// what the network saw. Nothing in the world notices.

import Dataplane
import SimulatedKernel

final class SessionListWatch {
    /// In so many turns once: often enough to meet every state.
    private static let turnsBetween = 16

    let list = SessionList()
    private let world: World
    private var turns = 0

    init(_ world: World) { self.world = world }

    deinit { list.deallocate() }

    func turnEnds(_ worker: borrowing Worker) {
        turns += 1
        guard turns.isMultiple(of: Self.turnsBetween) else { return }
        var found: [LogRecord] = []
        var matched = 0
        var slot: UInt32? = 0
        while let next = slot {
            list.ask(SessionFilter(), from: next, wanted: 1000)
            worker.listSessions()
            guard list.isFree else { return world.fail("the worker does not list its sessions") }
            let answer = list.read { record, _ in found.append(LogRecord(line: Array(record))) }
            matched += answer.matched
            slot = answer.nextSlot
        }
        var views: [SessionView] = []
        worker.forEachSession { views.append($0) }
        guard found.count == views.count, matched == views.count else {
            return world.fail("\(found.count) of \(views.count) sessions are listed, and \(matched) matched")
        }
        for (record, view) in zip(found, views) {
            if let wrong = contradiction(record, view) {
                return world.fail("a session is listed wrongly, \(wrong): \(record.text)")
            }
        }
    }

    private func contradiction(_ record: LogRecord, _ view: SessionView) -> String? {
        guard record.isWhole, let state = record.field("state"),
            let bytesIn = record.number("bytes_in"), let bytesOut = record.number("bytes_out"),
            let age = record.number("age_us"), let idle = record.number("idle_us")
        else { return "it is no session" }
        if !possibleStates(view).contains(String(decoding: state, as: UTF8.self)) {
            return "it is \(view.state)"
        }
        if idle > age { return "it was idle before it was there" }
        if view.isPending, record.field("backend") != nil { return "who waits for a place has no backend" }
        guard let port = record.port("client"), port < UInt64(world.kernel.connectionCount) else {
            return nil
        }
        let client = world.kernel.connection(Int32(port)).pointee
        if bytesIn > client.toUs.read { return "only \(client.toUs.read) bytes came from the client" }
        return bytesOut > client.toPeer.written ? "the client was sent \(client.toPeer.written)" : nil
    }

    private func possibleStates(_ view: SessionView) -> [String] {
        switch view.state {
        case .awaiting: ["awaiting_request"]
        case .connecting: [view.isPending ? "pending" : "connecting"]
        case .relaying: ["relaying", "awaiting_answer"]
        case .lingering: ["lingering"]
        case .closing: ["closing"]
        }
    }
}
