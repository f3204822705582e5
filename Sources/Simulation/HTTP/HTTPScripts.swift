// Draws what clients ask for and how they do it, and what backends answer. In a strict world everybody keeps to
// the rules, and every request must get a whole answer.

import Base
import SimulatedKernel

enum ClientEnding {
    /// Sends its end, waits for the other one, closes.
    case polite
    case closesAtOnce
    /// Sends its end right behind the last request.
    case halfCloses
    /// Closes, or resets, when so many bytes are sent.
    case dies(at: Int, resets: Bool)
    /// Sends no more after so many bytes, and waits.
    case stops(at: Int)
    /// Closes or resets if the answers are not there in this time.
    case losesPatience(nanoseconds: UInt64, resets: Bool)
}

struct ClientScript {
    var requests: [RequestPlan] = []
    var pipelines = false
    var pauseNanoseconds: UInt64 = 0
    var ending = ClientEnding.polite
    var pace = Pace()
}

/// In which pieces a peer reads and writes.
struct Pace {
    var readBytes: UInt64 = 1 << 30
    var readPauseNanoseconds: UInt64 = 0
    var writeBytes = 1 << 30
    var writePauseNanoseconds: UInt64 = 0
    /// Reads nothing at all.
    var never = false
}

struct HTTPSource {
    var random: RandomSource
    let isStrict: Bool
    let isAboutRetries: Bool
    let bufferBytes: Int
    let bulkBytes: Int
    let patienceNanoseconds: UInt64
    /// Statuses that somebody tries again on: frequent where there are any.
    let retriedStatuses: [Int]
    let isAboutHedges: Bool
    let isAboutBatches: Bool

    mutating func below(_ bound: Int) -> Int { bound <= 0 ? 0 : Int(random.next() % UInt64(bound)) }
    mutating func oneIn(_ count: Int) -> Bool { below(count) == 0 }
    mutating func time(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }

    /// Small more often than large; now and then enough to be spliced.
    mutating func size() -> Int {
        if oneIn(12) { return bulkBytes / 2 + below(bulkBytes) }
        return below(1 << below(14))
    }

    // MARK: Clients

    mutating func request(_ number: Int32) -> RequestPlan {
        var plan = RequestPlan(number: number)
        plan.method = ["GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE"][below(7)]
        if isAboutHedges, oneIn(2) { return plainRequest(number) }
        if isAboutBatches, !oneIn(4) { return plainRequest(number) }
        plan.isOld = oneIn(8)
        plan.acceptsTrailers = oneIn(6)
        plan.hasExtensions = oneIn(3)
        plan.chunkBytes = 1 + below(oneIn(3) ? 8 : 5000)
        let hasBody = ["POST", "PUT"].contains(plan.method) || oneIn(12)
        if hasBody {
            plan.bodyBytes = size()
            plan.framing = plan.isOld || oneIn(2) ? .length(plan.bodyBytes) : .chunked
            // One-byte chunks of a large body are all framing.
            if plan.bodyBytes > 4096 { plan.chunkBytes = max(plan.chunkBytes, 600) }
            // Weir bears 4 KiB of extensions in a body.
            if plan.bodyBytes / plan.chunkBytes > 200 { plan.hasExtensions = false }
        }
        plan.closes = oneIn(10)
        if isAboutRetries { return upload(plan) }
        guard !isStrict, oneIn(14) else { return plan }
        let illegality = Illegality.allCases[below(Illegality.allCases.count)]
        plan.illegality = illegality
        plan.isOld = false
        switch illegality {
        case .badChunkSize: plan.framing = .chunked
        default: (plan.framing, plan.bodyBytes) = (.none, 0)
        }
        return plan
    }

    /// Its end is in the buffer of its head, or in the next one.
    private mutating func upload(_ original: RequestPlan) -> RequestPlan {
        var plan = original
        plan.method = oneIn(4) ? "POST" : "PUT"
        plan.bodyBytes = below(2 * bufferBytes)
        plan.framing = .length(plan.bodyBytes)
        return plan
    }

    mutating func client(_ makeNumber: () -> Int32) -> ClientScript {
        var script = ClientScript()
        let count = isAboutHedges || isAboutBatches ? 4 + below(8) : oneIn(3) ? 1 : 1 + below(6)
        while script.requests.count < count {
            script.requests.append(request(makeNumber()))
            if !script.requests.last!.isPersistent { break }
        }
        script.pipelines = oneIn(3)
        if oneIn(3) { script.pauseNanoseconds = time(patienceNanoseconds) }
        return script
    }

    /// How the client goes on and off, given the bytes that it has to send.
    mutating func manners(_ script: inout ClientScript, totalBytes: Int) {
        script.pace = pace(totalBytes)
        if oneIn(4) { script.ending = .halfCloses }
        if oneIn(6) { script.ending = .closesAtOnce }
        if isStrict { return }
        switch below(12) {
        case 0, 1: script.ending = .dies(at: below(totalBytes + 1), resets: oneIn(2))
        case 2: script.ending = .stops(at: below(totalBytes))
        case 3: script.ending = .stops(at: min(totalBytes, below(60)))
        case 4: script.ending = .losesPatience(nanoseconds: time(patienceNanoseconds), resets: oneIn(2))
        default: break
        }
        if oneIn(20) { script.pace.never = true }
    }

    private mutating func pace(_ bytes: Int) -> Pace {
        var pace = Pace()
        if oneIn(4) {
            pace.readBytes = UInt64(max(1 + below(4000), bulkBytes / 100))
            pace.readPauseNanoseconds = time(patienceNanoseconds / 20)
        }
        if oneIn(3) {
            pace.writeBytes = max(oneIn(2) ? 1 : 1 + below(400), bytes / 300)
            pace.writePauseNanoseconds = time(min(patienceNanoseconds / 20, 8_000_000))
        }
        return pace
    }

    // MARK: Backends

    mutating func backendPace() -> Pace { pace(bulkBytes) }

    mutating func answer(_ number: Int32, to request: RequestPlan) -> AnswerPlan {
        var plan = AnswerPlan(number: number, request: request.number)
        plan.status = [200, 200, 200, 201, 204, 304, 404, 500][isStrict ? 0 : below(8)]
        if !retriedStatuses.isEmpty, oneIn(2) { plan.status = retriedStatuses[below(retriedStatuses.count)] }
        plan.bodyBytes = size()
        switch below(5) {
        case 0: plan.framing = .untilClose
        case 1, 2: plan.framing = .chunked
        default: plan.framing = .length(plan.bodyBytes)
        }
        if AnswerPlan.hasNoBody(plan.status, request.method), case .untilClose = plan.framing {
            plan.framing = .length(plan.bodyBytes)
        }
        plan.chunkBytes = 1 + below(oneIn(4) ? 10 : 6000)
        if plan.bodyBytes > 4096 { plan.chunkBytes = max(plan.chunkBytes, 600) }
        plan.hasTrailers = oneIn(6)
        if oneIn(8) { plan.interim = oneIn(2) ? [100] : [103, 103] }
        plan.announcesClose = plan.framing == .untilClose ? oneIn(2) : oneIn(10)
        plan.isEarly = !isStrict && oneIn(8)
        if oneIn(3) { plan.pauseNanoseconds = time(patienceNanoseconds) }
        if isAboutHedges { delay(&plan) }
        if isAboutBatches { shorten(&plan, to: request) }
        if plan.announcesClose || plan.framing == .untilClose { plan.after = .closes }
        if !isStrict, !isAboutHedges && !isAboutBatches || oneIn(isAboutBatches ? 4 : 2) { addTrouble(&plan) }
        if isAboutRetries, oneIn(3) { plan.fault = .gone(resets: oneIn(3)) }
        return plan
    }

    private mutating func addTrouble(_ plan: inout AnswerPlan) {
        switch below(24) {
        case 0, 1: plan.fault = .cut(at: below(plan.bodyBytes + 120), resets: oneIn(3))
        case 2: plan.fault = .cut(at: below(90), resets: oneIn(3))
        case 3: plan.fault = .illegal
        // A body that its end closes has no length to go beyond.
        case 4 where plan.framing != .untilClose: plan.fault = .tooMany
        case 5: plan.fault = .silent
        case 6, 7: plan.fault = .gone(resets: oneIn(3))
        default: break
        }
        guard case .keeps = plan.after else { return }
        switch below(10) {
        case 0: plan.after = .closes
        case 1: plan.after = .resets
        case 2: plan.after = .closesLater(nanoseconds: time(patienceNanoseconds * 2), unasked: oneIn(3))
        case 3: plan.after = .closesLater(nanoseconds: time(2_000_000), unasked: oneIn(3))
        default: break
        }
    }

    /// Words before anybody asked.
    mutating func greets() -> Bool { !isStrict && oneIn(40) }
}
