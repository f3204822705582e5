// Worlds in which requests that wait long are sent to a second backend too, and what the model asks of that: only what
// harms nobody, once, over a connection that is kept, and not before anybody could say that it takes long.

import Configuration
import Dataplane
import SimulatedKernel

extension WorldPlan {
    /// Somebody hedges: some answers are to be late.
    var isAboutHedges: Bool { answersBeforeHedges < 20 }

    /// Listeners that hedge, some of which retry; pools keep connections for it.
    mutating func drawHedges(_ source: inout PlanSource) {
        answersBeforeHedges = UInt32(source.below(4))
        for listener in configuration.listeners.indices {
            var settings = configuration.listeners[listener].retry ?? RetrySettings()
            if configuration.listeners[listener].retry == nil {
                settings.attempts = Int(1 + source.below(3))
                settings.on = source.oneIn(2) ? [.reset] : [.timeout]
            }
            settings.hedges = true
            settings.budgetShare = max(settings.budgetShare, 0.5)
            configuration.listeners[listener].retry = settings
        }
        for pool in configuration.pools.indices where !source.oneIn(4) {
            configuration.pools[pool].keepAlive.idle = 8
            configuration.pools[pool].keepAlive.idleTimeoutNanoseconds = 20_000_000_000
            configuration.pools[pool].keepAlive.maxRequests = 0
        }
    }
}

extension HTTPSource {
    func plainRequest(_ number: Int32) -> RequestPlan {
        var plan = RequestPlan(number: number)
        plan.method = "GET"
        return plan
    }

    /// Most answers leave a connection that is kept. Some come later than a hedge, or about when that is answered.
    mutating func delay(_ plan: inout AnswerPlan) {
        if oneIn(2) {
            plan.framing = .length(plan.bodyBytes)
            plan.announcesClose = false
        }
        if oneIn(3) {
            plan.pauseNanoseconds = 5_000_000 + time(oneIn(2) ? 25_000_000 : patienceNanoseconds)
        }
    }
}

extension HTTPLedger {
    /// No request is hedged earlier.
    private static var leastHedgeNanoseconds: UInt64 { 5_000_000 }

    func mayBeHedge(_ connection: Int32, _ number: Int32) -> Bool {
        requests[Int(number)].tries.possibleHedge == connection
    }

    /// The connections on which the request may be under way: a hedge's and the one before it.
    func lastTries(_ facts: RequestFacts) -> ArraySlice<Int32> {
        facts.sightings.suffix(facts.sightings.last == facts.tries.possibleHedge ? 2 : 1)
    }

    /// Why a request cannot be under way twice; nil where it can.
    func contradiction(toHedge connection: Int32, _ facts: RequestFacts) -> String? {
        if listener(ofClient: facts.client).retry?.hedges != true { return "nobody hedges" }
        if !facts.plan.isIdempotent { return "it is a \(facts.plan.method)" }
        if facts.tries.hedge != nil { return "it was hedged" }
        if pool(ofClient: facts.client).affinity != nil { return "its client is to come back to one backend" }
        if taps[Int(connection)].requests.isEmpty { return "the connection is new" }
        if kernel.now < facts.sentAt + Self.leastHedgeNanoseconds { return "it was sent a moment ago" }
        let last = facts.sightings.last!
        let one = kernel.connection(last).pointee
        let begun = taps[Int(last)].answers.last.map { answers[Int($0)] }
        if let begun, begun.plan.request == facts.plan.number, Int(one.toUs.read) > begun.start,
            !isNews(one.movedAt, at: kernel.connection(connection).pointee.sendBegunAt)
        {
            return "an answer had begun"
        }
        return nil
    }

    /// Why the log cannot say so of the hedge; nil where it can.
    func contradiction(toHedged word: String?, _ facts: RequestFacts) -> String? {
        guard let hedge = facts.tries.hedge else { return nil }
        guard let word else { return "it was hedged" }
        guard facts.answer >= 0, let place = facts.sightings.firstIndex(of: hedge) else { return nil }
        let backend = answers[Int(facts.answer)].backend
        if word == "lost", backend == hedge { return "the hedge answered" }
        if word == "won", backend == facts.sightings[place - 1] { return "the hedge did not answer" }
        return nil
    }
}
