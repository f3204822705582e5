// What was asked, what was answered, and what the worker wrote to whom: every message that goes out of the worker
// is read here as it is written, and held against the one that came in. Peers ask it where messages end.

import Base
import SimulatedKernel

struct RequestFacts {
    let plan: RequestPlan
    let client: Int32
    /// Which of the client's requests it is.
    let place: Int
    /// Where it lies in what the client sends.
    let start: Int
    let headEnd: Int
    let end: Int
    /// Backend connections that have seen its head, in order.
    var sightings: [Int32] = []
    var tries = TryFacts()
    /// The backend connections that its session had at the end of a turn.
    var servedBy: Set<Int32> = []
    /// When the last of them saw it, or was sent all of it.
    var sentAt: UInt64 = 0
    /// When the first of them saw it; 0 for never.
    var sightedAt: UInt64 = 0
    /// When the last of them had been sent all of it; 0 for not.
    var wholeAt: UInt64 = 0
    /// What the worker answered the client with; 0 for nothing.
    var status = 0
    /// The answer of a backend that the client got; -1 for none.
    var answer: Int32 = -1
    /// The client was sent all of the answer.
    var isAnswered = false
    var records = 0
}

struct AnswerFacts {
    let plan: AnswerPlan
    let backend: Int32
    /// Where it lies in what the backend sends, as it was meant.
    let start: Int
    let headEnd: Int
    let end: Int
}

/// What the worker wrote to one peer.
struct Tap {
    var reader = MessageReader()
    /// Where each message ended, and each head.
    var ends: [Int] = []
    var headEnds: [Int] = []
    /// The numbers of the requests, in order.
    var requests: [Int32] = []
    /// Of the message that is being read.
    var bodyBytes = 0
    var answer: Int32 = -1
    var isInterim = false
    /// The worker has said that it will close.
    var isLast = false
    var lastEndAt: UInt64 = 0
    /// A backend: all answers that it began, and whether it broke a rule.
    var answers: [Int32] = []
    var isTroubled = false
    /// Sums of the records.
    var recordedBytesOut: UInt64 = 0
}

final class HTTPLedger {
    let kernel: SimulatedKernel
    let plan: WorldPlan
    let pattern = Pattern()
    var source: HTTPSource
    var requests: [RequestFacts] = []
    var answers: [AnswerFacts] = []
    var taps: [Tap] = []
    var failure: String?
    var loggedRequests: UInt64 = 0
    /// Those that went out behind others.
    var sharedRequests: UInt64 = 0
    /// By pool and host, whom clients had last: where affinity goes by their address.
    var backendsOfClients: [String: Int] = [:]
    /// A request whose last answer was worth another try, of which it had some left.
    var givenUpEarly: Int32?

    init(seed: UInt64, plan: WorldPlan, kernel: SimulatedKernel) {
        self.plan = plan
        self.kernel = kernel
        source = HTTPSource(
            random: RandomSource(seed: seed ^ 0x5EED_0F5C_21B7_0003), isStrict: plan.isStrict,
            isAboutRetries: plan.isAboutRetries, bufferBytes: plan.bufferSizeBytes,
            bulkBytes: Int(plan.bulkBytes), patienceNanoseconds: plan.patienceNanoseconds,
            retriedStatuses: plan.retriedStatuses, isAboutHedges: plan.isAboutHedges,
            isAboutBatches: plan.isAboutBatches)
    }

    func fail(_ what: @autoclosure () -> String) {
        if failure == nil { failure = what() }
    }

    /// What happened at `event` the worker may not know yet at `time`.
    func isNews(_ event: UInt64, at time: UInt64) -> Bool {
        time <= max(event, kernel.overflowedAt) + plan.newsNanoseconds
    }

    func prepare(_ connection: Int32) {
        while taps.count <= Int(connection) { taps.append(Tap()) }
    }

    // MARK: What peers ask

    func makeClient(_ connection: Int32) -> HTTPClient {
        prepare(connection)
        var next = Int32(requests.count)
        var script = source.client {
            defer { next += 1 }
            return next
        }
        for index in script.requests.indices { script.requests[index].cookie = drawCookie(connection) }
        var octets: [UInt8] = []
        var ends: [Int] = []
        for (place, request) in script.requests.enumerated() {
            let start = octets.count
            octets += request.octets(pattern)
            ends.append(octets.count)
            requests.append(
                RequestFacts(
                    plan: request, client: connection, place: place, start: start,
                    headEnd: headEnd(octets, start), end: octets.count))
            taps[Int(connection)].requests.append(request.number)
        }
        source.manners(&script, totalBytes: octets.count)
        return HTTPClient(connection: connection, script: script, octets: octets, ends: ends)
    }

    func makeBackend(_ connection: Int32) -> HTTPBackend {
        prepare(connection)
        let greets = source.greets()
        if greets { taps[Int(connection)].isTroubled = true }
        return HTTPBackend(connection: connection, pace: source.backendPace(), greeting: greets)
    }

    /// Behind the empty line; all of it where there is none.
    private func headEnd(_ octets: [UInt8], _ start: Int) -> Int {
        var place = start
        while place + 3 < octets.count {
            if octets[place..<(place + 4)].elementsEqual([13, 10, 13, 10]) { return place + 4 }
            place += 1
        }
        return octets.count
    }

    /// How many whole answers there are in what a client has received.
    func answersWithin(_ received: Int, of connection: Int32) -> Int {
        taps[Int(connection)].ends.count { $0 <= received }
    }

    /// How a backend is to answer its next request; nil where that has not come.
    func plan(_ connection: Int32, _ served: Int, received: Int) -> AnswerPlan? {
        let tap = taps[Int(connection)]
        guard tap.headEnds.count > served, tap.headEnds[served] <= received else { return nil }
        let request = requests[Int(tap.requests[served])].plan
        let plan = source.answer(-1, to: request)
        switch (plan.fault, plan.after) {
        case (.none, .keeps): break
        case (.none, .closes) where plan.announcesClose || plan.framing == .untilClose: break
        default: taps[Int(connection)].isTroubled = true
        }
        return plan
    }

    func isWhole(_ connection: Int32, _ served: Int, received: Int) -> Bool {
        let tap = taps[Int(connection)]
        return tap.ends.count > served && tap.ends[served] <= received
    }

    /// A backend begins to answer: what it says, all of it.
    func begin(_ original: AnswerPlan, _ connection: Int32) -> [UInt8] {
        var plan = original
        plan.number = Int32(answers.count)
        let octets = plan.octets(requests[Int(plan.request)].plan.method, pattern)
        let start = Int(kernel.connection(connection).pointee.toUs.written)
        // The last head: interim ones have none of the body's bytes behind them.
        var end = 0
        for _ in 0...plan.interim.count { end = headEnd(octets, end) }
        answers.append(
            AnswerFacts(
                plan: plan, backend: connection, start: start, headEnd: start + end,
                end: start + octets.count))
        taps[Int(connection)].answers.append(plan.number)
        kernel.trace("answer", Int64(plan.number), Int64(plan.request), Int64(connection))
        return octets
    }

    // MARK: What the worker writes

    /// The worker sent something, or its end.
    func workerSent(_ connection: Int32) {
        prepare(connection)
        let facts = kernel.connection(connection).pointee
        kernel.withBytesToPeer(connection) { stream in
            while let event = taps[Int(connection)].reader.next(stream), failure == nil {
                if facts.role == .client {
                    clientIsSent(connection, event, stream)
                } else {
                    backendIsSent(connection, event, stream)
                }
            }
        }
        guard facts.role == .client, facts.toPeer.isEndWritten, !facts.weSentReset else { return }
        if taps[Int(connection)].reader.streamEnds() { answerEnds(connection, isStreamEnd: true) }
    }

    func matches(
        _ stream: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ message: MessageName, _ first: Int
    )
        -> Bool
    {
        pattern.matches(
            UnsafeRawPointer(stream.baseAddress! + range.lowerBound), count: range.count, of: message.stream,
            at: UInt64(first))
    }
}
