// Retries in http worlds: which listeners try again and when, and what the model asks of a request that backends see
// more than once. HTTPToBackend.swift calls it for each such request, HTTPToClient.swift for each answer.

import Configuration
import Dataplane
import SimulatedKernel

/// What the ledger knows of the tries of one request.
struct TryFacts {
    /// Backends that it was sent to, as indices in their pool; what met a kept connection that closed is no try.
    var backends: [Int] = []
    /// As the first backend that was sent all of it saw it; empty where it does not fit one buffer.
    var octets: [UInt8] = []
    /// The connection on which it was sent although nothing was wrong with the one before.
    var hedge: Int32?
    /// It stood behind others when it was sent again, or was tried again in the turn in which its answer came.
    var mayHaveOneMore = false
    /// The last one on which it may have been; where the one before had just failed, that cannot be told.
    var possibleHedge: Int32?
}

extension WorldPlan {
    /// Listeners that try again, with all that can be said of it.
    mutating func drawRetries(_ source: inout PlanSource) {
        for listener in configuration.listeners.indices where !source.oneIn(4) {
            var settings = RetrySettings()
            settings.attempts = Int(1 + source.below(5))
            settings.on = []
            for condition in [RetryCondition.connect, .reset, .timeout] where source.oneIn(2) {
                settings.on.append(condition)
            }
            for status in [UInt16(404), 500, 503] where source.oneIn(2) {
                settings.on.append(.status(status))
            }
            settings.includesNonIdempotent = source.oneIn(3)
            settings.budgetShare = [0, 0.2, 0.5, 1][Int(source.below(4))]
            if !isStrict, source.oneIn(2) {
                settings.perTryNanoseconds = source.logarithmic(2_000_000, 3_000_000_000)
            }
            configuration.listeners[listener].retry = settings
        }
    }

    /// Statuses that somebody would try again on.
    var retriedStatuses: [Int] {
        var statuses: [Int] = []
        for condition in configuration.listeners.flatMap({ $0.retry?.on ?? [] }) {
            if case .status(let status) = condition { statuses.append(Int(status)) }
        }
        return statuses
    }
}

extension RetrySettings {
    func takes(status: Int) -> Bool { on.contains(.status(UInt16(clamping: status))) }

    /// How many may be under retry in a pool that serves so many.
    func budget(ofActive active: Int) -> Int { max(3, Int(Double(active) * budgetShare)) }
}

extension HTTPLedger {
    func listener(ofClient connection: Int32) -> Listener {
        plan.configuration.listeners[Int(kernel.connection(connection).pointee.place)]
    }

    // MARK: What backends see

    /// A backend sees a request: for the first time, again because a kept connection closed, or as another try.
    func noteTry(_ connection: Int32, _ facts: RequestFacts) {
        let number = facts.plan.number
        guard let last = facts.sightings.last else {
            countTry(connection, facts)
            return
        }
        let settings = listener(ofClient: facts.client).retry
        if facts.sightings.contains(connection) { fail("request \(number) is sent twice on one connection") }
        if !facts.plan.isIdempotent, settings?.includesNonIdempotent != true {
            fail("request \(number), a \(facts.plan.method), is sent twice")
        }
        if facts.status != 0 { fail("request \(number) is sent again although it was answered") }
        let lasts = lastTries(facts)
        let obstacleToHedge = contradiction(toHedge: connection, facts)
        if obstacleToHedge == nil { requests[Int(number)].tries.possibleHedge = connection }
        if lasts.contains(where: { mayHaveWaitedBehind($0, number) }) {
            requests[Int(number)].tries.mayHaveOneMore = true
            return
        }
        if lasts.contains(where: { obstacleToReplay($0, number) == nil }) { return }
        guard let settings else {
            return fail("request \(number) is sent again, but \(obstacleToReplay(last, number)!)")
        }
        if facts.tries.backends.count > settings.attempts {
            fail("request \(number) is sent more than \(settings.attempts) times again")
        }
        let wrongs = lasts.map { contradiction(toRetryAfter: $0, facts, settings) }
        if !wrongs.contains(nil) {
            if let wrong = obstacleToHedge {
                fail("request \(number) is tried again, but \(wrongs.last!!), and it is not hedged: \(wrong)")
            }
            requests[Int(number)].tries.hedge = connection
        }
        checkTurn(connection, facts)
        countTry(connection, facts)
    }

    private func countTry(_ connection: Int32, _ facts: RequestFacts) {
        guard let backend = backendIndex(connection, pool(ofClient: facts.client)) else {
            return fail("request \(facts.plan.number) reaches another pool")
        }
        requests[Int(facts.plan.number)].tries.backends.append(backend)
    }

    /// RFC 9110, section 9.2.2: again without being told to only where the last time met a kept connection that closed
    /// unanswered. Why that is not so; nil where it is.
    private func obstacleToReplay(_ last: Int32, _ number: Int32) -> String? {
        let tap = taps[Int(last)]
        if tap.requests.count < 2 { return "its connection was new" }
        let one = kernel.connection(last).pointee
        if Int(one.toUs.read) > previousEnd(tap, number) { return "an answer had begun" }
        if !hasFailed(one) { return "its first connection is well" }
        return nil
    }

    private func hasFailed(_ one: Connection) -> Bool {
        one.toUs.hasEndArrived || one.resetReachedUs || one.hadInjectedError
    }

    /// Where the answer before that to a request ended in what the backend sent.
    private func previousEnd(_ tap: Tap, _ request: Int32) -> Int {
        tap.answers.prefix { answers[Int($0)].plan.request != request }.last.map { answers[Int($0)].end } ?? 0
    }

    /// Why nothing that is worth another try happened to the last one; nil where something did.
    private func contradiction(
        toRetryAfter last: Int32, _ facts: RequestFacts, _ settings: RetrySettings
    ) -> String? {
        let one = kernel.connection(last).pointee
        // Of a backend that was removed nothing can be seen.
        if settings.on.contains(.reset), hasFailed(one) || plan.operates { return nil }
        if settings.on.contains(.timeout) {
            let times = listener(ofClient: facts.client).timeouts.http
            let least = min(times.responseHeadNanoseconds, settings.perTryNanoseconds ?? .max)
            if kernel.now >= facts.sentAt + least { return nil }
        }
        let answer = taps[Int(last)].answers.map { answers[Int($0)] }
            .last { $0.plan.request == facts.plan.number }
        guard let answer, Int(one.toUs.read) >= answer.headEnd
        else {
            return "nothing went wrong with the last try"
        }
        return settings.takes(status: answer.plan.status) ? nil : "it was answered \(answer.plan.status)"
    }

    /// Where everybody can be connected to, nobody has another try before all others had as many. A hedge that was given
    /// up before its backend had seen it is a try too, so where requests are hedged one may seem to be left out.
    private func checkTurn(_ connection: Int32, _ facts: RequestFacts) {
        let pool = pool(ofClient: facts.client)
        guard plan.isStrict, !facts.tries.mayHaveOneMore, let backend = backendIndex(connection, pool) else {
            return
        }
        let counts = pool.backends.indices.map { index in facts.tries.backends.count { $0 == index } }
        let leftOut = counts.count { $0 < counts[backend] }
        if leftOut > (listener(ofClient: facts.client).retry?.hedges == true ? 1 : 0) {
            fail(
                "request \(facts.plan.number) goes to backend \(backend) again, after \(facts.tries.backends)"
            )
        }
    }

    /// A backend was sent all of a request, in these bytes.
    func noteWhole(_ number: Int32, _ octets: UnsafeBufferPointer<UInt8>) {
        let facts = requests[Int(number)]
        if facts.sightings.count > 1, octets.count > plan.bufferSizeBytes {
            fail("request \(number) is sent again, and did not fit one buffer")
        }
        if facts.tries.octets.isEmpty {
            if octets.count <= plan.bufferSizeBytes { requests[Int(number)].tries.octets = Array(octets) }
        } else if !facts.tries.octets.elementsEqual(octets) {
            fail("request \(number) is sent again with other bytes")
        }
    }

    // MARK: What clients see

    /// A client gets an answer of a backend: that of the last try. Where it was worth another one, something must have
    /// been in the way of that.
    func checkLastTry(_ answer: AnswerFacts, _ facts: RequestFacts) {
        let number = facts.plan.number
        if !lastTries(facts).contains(answer.backend) {
            fail("request \(number) is answered by a try that is not its last")
        }
        // A hedge that was never sent counts as well.
        guard plan.isStrict, !facts.tries.mayHaveOneMore,
            let settings = listener(ofClient: facts.client).retry, !settings.hedges,
            settings.takes(status: answer.plan.status), facts.plan.framing == .none,
            facts.plan.isIdempotent || settings.includesNonIdempotent,
            facts.tries.backends.count <= settings.attempts
        else { return }
        givenUpEarly = number
    }
}

extension World {
    /// Requests that began to be tried again in this turn had a place in their pool's budget.
    func checkBudget(_ worker: borrowing Worker) {
        // Requests at removed backends count in the budget, and are in no pool.
        if plan.operates { return }
        for pool in plan.configuration.pools.indices {
            var (retried, live) = (0, 0)
            worker.forEachSession { view in
                guard view.pool == pool else { return }
                live += view.isHedged ? 2 : 1
                if view.isRetried { retried += 1 }
            }
            // A session that ended in this turn was served in it.
            let most = max(live, pools[pool].live)
            let budget = plan.configuration.listeners.map { $0.retry?.budget(ofActive: most) ?? 0 }.max() ?? 0
            if retried > max(budget, pools[pool].retried) {
                fail("\(retried) requests of \(most) are being retried, and \(budget) may be")
            }
            pools[pool] = PoolFacts(live: live, retried: retried)
        }
    }

    /// At the end: only the budget, or the end of service, keeps a request from all its tries.
    func checkTriesAtEnd(overBudget: UInt64, _ ledger: HTTPLedger) {
        if let number = ledger.givenUpEarly, overBudget == 0 {
            fail("request \(number) had tries left, and nothing was in their way")
        }
    }
}

/// What the model knows of a pool at the end of the last turn.
struct PoolFacts {
    var live = 0
    var retried = 0
}
