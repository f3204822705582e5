// What is asked of /lb/sessions, put to every worker a part of its table at a time, and the answer. Of the admin thread,
// which looks now and then how far workers are and waits for none of them.
//
//   begin -> (each worker: toAsk -> asked -> ... -> done) -> answer

import Configuration
import Dataplane
import LogReading

/// One question.
struct SessionSearch {
    struct Query {
        var filter = SessionFilter()
        var limit = 100
    }

    private enum Progress {
        /// From this slot on.
        case toAsk(UInt32)
        case asked
        case done
    }

    private struct Found {
        let acceptedAt: UInt64
        let record: [UInt8]
    }

    private static let patienceSeconds = 2.0

    private let query: Query
    private let threads: [WorkerThread]
    private var progress: [Progress]
    private var found: [Found] = []
    private var matched = 0
    private let deadline: Double

    init(_ query: Query, of threads: [WorkerThread], now: Double) {
        self.query = query
        self.threads = threads
        progress = threads.map { _ in .toAsk(0) }
        deadline = now + Self.patienceSeconds
    }

    /// Takes what workers have written down since the last time, and asks for more. Answers where that was all.
    mutating func advance(_ facts: AdminFacts, now: Double) -> AdminAnswer? {
        for worker in threads.indices { advance(worker) }
        let isDone = progress.allSatisfy { if case .done = $0 { true } else { false } }
        if isDone { return answer(facts) }
        return now < deadline ? nil : .later("a worker has not listed its sessions within two seconds")
    }

    private mutating func advance(_ worker: Int) {
        let thread = threads[worker]
        // Before the list: what it answered last was written before it ended.
        let hasEnded = thread.currentState != .serving
        if case .asked = progress[worker], thread.sessionList.isFree {
            progress[worker] = take(thread.sessionList).map { .toAsk($0) } ?? .done
        }
        switch progress[worker] {
        // Where it is not free, it owes somebody an answer who did not wait for it.
        case .toAsk(let slot) where thread.sessionList.isFree && !hasEnded:
            thread.sessionList.ask(query.filter, from: slot, wanted: max(query.limit - found.count, 0))
            thread.wake()
            progress[worker] = .asked
        case .toAsk, .asked: if hasEnded { progress[worker] = .done }
        case .done: break
        }
    }

    /// Answers from where on there are more.
    private mutating func take(_ list: SessionList) -> UInt32? {
        let answer = list.read { record, acceptedAt in
            found.append(Found(acceptedAt: acceptedAt, record: Array(record)))
        }
        matched += answer.matched
        return answer.nextSlot
    }

    private func answer(_ facts: AdminFacts) -> AdminAnswer {
        if matched == 0, let unknown = unknownName(facts.configuration) { return unknown }
        // The oldest first; several workers may have found more than is wanted together.
        let listed = found.sorted { $0.acceptedAt < $1.acceptedAt }.prefix(query.limit)
        return .json { writer in
            Figures(facts).writeSessions(to: &writer, matched: matched, listed: listed.map(\.record))
        }
    }

    /// A name that nothing is called is a mistake, unless sessions of what a reload removed still have it.
    private func unknownName(_ configuration: Configuration) -> AdminAnswer? {
        let known: [(SessionFilter.Name, [String])] = [
            (.listener, configuration.listeners.map(\.name)), (.pool, configuration.pools.map(\.name)),
            (.backend, configuration.pools.flatMap { $0.backends.map(\.name) }),
        ]
        for (part, names) in known {
            guard let name = query.filter[part], !names.contains(name) else { continue }
            let guess = nearestSpelling(of: name, among: names).map { "; did you mean `\($0)`?" } ?? ""
            return .error(404, "there is no \(part) `\(name)`\(guess)")
        }
        return nil
    }
}

extension SessionSearch.Query {
    private static let mostSessions = 1000

    init(_ parameters: inout AdminParameters) throws(AdminRefusal) {
        limit = try parameters.number("limit", within: 1...Self.mostSessions) ?? limit
        filter[.listener] = try parameters.text("listener")
        filter[.pool] = try parameters.text("pool")
        filter[.backend] = try parameters.text("backend")
        if let text = try parameters.text("client") {
            guard let range = ClientRange(text) else {
                throw AdminRefusal(400, "`client` must be an address or a block, as 192.0.2.7 or 10.0.0.0/8")
            }
            filter.setClient(octets: range.octets, prefixLength: range.prefixLength)
        }
        try parameters.finish()
    }
}

/// Questions in the order in which they came: one at a time is put to the workers.
struct SessionSearches {
    /// How often it is looked whether workers have answered.
    static let lookSeconds = 0.001
    /// More than these do not wait: whoever comes then is asked to come back.
    private static let waitingLimit = 8

    private struct Waiting {
        let number: Int
        let query: SessionSearch.Query
        let isHead: Bool
    }

    private var lastNumber = 0
    private var waiting: [Waiting] = []
    /// The first one's.
    private var search: SessionSearch?

    var isEmpty: Bool { waiting.isEmpty }

    /// Answers the number of the answer to come; nil where too many wait.
    mutating func add(_ query: SessionSearch.Query, isHead: Bool) -> Int? {
        guard waiting.count < Self.waitingLimit else { return nil }
        lastNumber += 1
        waiting.append(Waiting(number: lastNumber, query: query, isHead: isHead))
        return lastNumber
    }

    /// The next answer that is there.
    mutating func next(_ facts: AdminFacts, now: Double) -> (number: Int, answer: AdminAnswer)? {
        guard let first = waiting.first else { return nil }
        if search == nil { search = SessionSearch(first.query, of: facts.threads, now: now) }
        guard var answer = search!.advance(facts, now: now) else { return nil }
        answer.leavesOutBody = first.isHead
        waiting.removeFirst()
        search = nil
        return (first.number, answer)
    }
}
