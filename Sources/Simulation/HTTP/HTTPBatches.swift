// Worlds in which small requests of one turn share a connection, and what the model asks of that: only requests that
// harm nobody when they are done twice, no more at a time than the pool says, and who loses its place behind others is
// sent again once, alone.

import Configuration
import SimulatedKernel

extension WorldPlan {
    /// Some pool sends several requests at once: many are to be alike.
    var isAboutBatches: Bool { configuration.pools.contains { $0.keepAlive.batch > 1 } }

    /// Backends that close read on until Weir does (RFC 9112, section 9.6). Where requests may stand behind the one that
    /// is answered, those that do not reset the connection, and their answers may be cut off.
    var backendsLinger: Bool { isStrict && isAboutBatches }

    mutating func drawBatches(_ source: inout PlanSource) {
        for pool in configuration.pools.indices {
            configuration.pools[pool].keepAlive.batch = Int(2 + source.below(15))
            if source.oneIn(4) { continue }
            configuration.pools[pool].keepAlive.idle = Int(1 + source.below(8))
            configuration.pools[pool].keepAlive.idleTimeoutNanoseconds = 20_000_000_000
            configuration.pools[pool].keepAlive.maxRequests = source.oneIn(2) ? 0 : Int(2 + source.below(30))
        }
        // Several requests in one turn, for one backend.
        if source.oneIn(4) { return }
        for pool in configuration.pools.indices {
            configuration.pools[pool].backends.removeFirst(configuration.pools[pool].backends.count - 1)
        }
        clients += Int(source.below(24))
        clientSpreadNanoseconds = min(clientSpreadNanoseconds, 1_000_000)
        faults.turnNanoseconds = max(faults.turnNanoseconds, min(4 * faults.latencyNanoseconds, 2_000_000))
    }
}

extension HTTPSource {
    /// Most answers are short and come soon; some come later than anybody waits behind others.
    mutating func shorten(_ plan: inout AnswerPlan, to request: RequestPlan) {
        if !oneIn(4) {
            plan.bodyBytes = below(600)
            plan.framing = oneIn(4) ? .chunked : .length(plan.bodyBytes)
            plan.announcesClose = oneIn(30)
        }
        if !oneIn(20) { plan.pauseNanoseconds = time(2_000_000) }
    }
}

extension HTTPLedger {
    /// A request goes out behind others that the connection has not answered.
    func isShared(_ connection: Int32, _ facts: RequestFacts) -> Bool {
        let batch = pool(ofClient: facts.client).keepAlive.batch
        let open = openRequests(connection)
        guard batch > 1, !open.isEmpty else { return false }
        sharedRequests += 1
        if open.count >= batch {
            fail("request \(facts.plan.number) is one too many on connection \(connection)")
        }
        for number in open + [facts.plan.number] {
            let one = requests[Int(number)]
            if one.plan.method != "GET" || one.plan.framing != .none {
                fail("request \(number), which is no plain GET, shares connection \(connection)")
            }
        }
        if !facts.sightings.isEmpty, !isLateCopy(connection, facts) {
            fail("request \(facts.plan.number) is sent again behind others")
        }
        return true
    }

    /// It was sent again before the end of the batch that it stood in had left.
    func isLateCopy(_ connection: Int32, _ facts: RequestFacts) -> Bool {
        guard !facts.sightings.isEmpty, let first = openRequests(connection).first else { return false }
        return requests[Int(first)].sightedAt <= facts.sightedAt
    }

    /// The worker may not have known of the last answer when it began to send: the rest of a batch goes out.
    func isAnswerNews(_ connection: Int32) -> Bool {
        let one = kernel.connection(connection).pointee
        return isNews(one.movedAt, at: one.sendBegunAt)
    }

    /// Those whose answers the worker has not read to their ends.
    private func openRequests(_ connection: Int32) -> ArraySlice<Int32> {
        let tap = taps[Int(connection)]
        let read = Int(kernel.connection(connection).pointee.toUs.read)
        return tap.requests.dropFirst(tap.answers.count { answers[Int($0)].end <= read })
    }

    /// The request stood behind others on the connection where it was sent last, and when the last turn ended it still
    /// did, or nothing of its answer had come.
    func mayHaveWaitedBehind(_ connection: Int32, _ number: Int32) -> Bool {
        let tap = taps[Int(connection)]
        let facts = requests[Int(number)]
        guard pool(ofClient: facts.client).keepAlive.batch > 1, facts.sightings.count == 1,
            let place = tap.requests.firstIndex(of: number), place > 0
        else { return false }
        if !facts.servedBy.contains(connection) { return true }
        let begun = tap.answers.first { answers[Int($0)].plan.request == number }
        let read = Int(kernel.connection(connection).pointee.toUs.read)
        return begun.map { read <= answers[Int($0)].start } ?? true
    }
}
