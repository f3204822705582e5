// One end of a connection that is not the worker's, in http mode: a client that asks as its script says, or a
// backend that answers. They know what they have received only by counting bytes: where messages end in what the
// worker sent is the ledger's to say (HTTPLedger.swift).

import SimulatedKernel

/// Bytes on their way out and in, at a peer's own pace.
struct PacedStream {
    let connection: Int32
    let pace: Pace
    private(set) var received = 0
    private var nextReadAt: UInt64 = 0
    private var nextWriteAt: UInt64 = 0
    private var readTimer: UInt64 = 0
    private var writeTimer: UInt64 = 0

    init(connection: Int32, pace: Pace) {
        self.connection = connection
        self.pace = pace
    }

    mutating func read(_ kernel: SimulatedKernel) {
        if pace.never { return }
        while kernel.connection(connection).pointee.toPeer.unread > 0 {
            if kernel.now < nextReadAt {
                if readTimer != nextReadAt { kernel.schedulePeerTimer(connection, at: nextReadAt) }
                readTimer = nextReadAt
                return
            }
            received += Int(kernel.peerRead(connection, limit: pace.readBytes))
            if pace.readPauseNanoseconds > 0 { nextReadAt = kernel.now + pace.readPauseNanoseconds }
        }
    }

    /// Writes what finds room of `octets[first..<last]`; answers how many.
    mutating func write(_ octets: [UInt8], _ first: Int, _ last: Int, _ kernel: SimulatedKernel) -> Int {
        var next = first
        while next < last {
            if kernel.now < nextWriteAt {
                if writeTimer != nextWriteAt { kernel.schedulePeerTimer(connection, at: nextWriteAt) }
                writeTimer = nextWriteAt
                break
            }
            let end = last - next > pace.writeBytes ? next + pace.writeBytes : last
            let count = octets.withUnsafeBytes {
                kernel.peerWrite(connection, UnsafeRawBufferPointer(rebasing: $0[next..<end]))
            }
            if count == 0 { break }
            next += Int(count)
            if pace.writePauseNanoseconds > 0 { nextWriteAt = kernel.now + pace.writePauseNanoseconds }
        }
        return next - first
    }

    /// The worker sends no more, and all of it was read.
    func hasEnded(_ kernel: SimulatedKernel) -> Bool {
        let channel = kernel.connection(connection).pointee.toPeer
        return channel.hasEndArrived && (pace.never || channel.unread == 0)
    }
}

struct HTTPClient {
    let script: ClientScript
    private let octets: [UInt8]
    /// Where each request ends in them.
    private let ends: [Int]
    private var stream: PacedStream
    private var sent = 0
    private(set) var isDone = false
    private var beganAt: UInt64?
    /// Answers that were there when it was looked last, and since when.
    private var answered = 0
    private var answeredAt: UInt64 = 0
    private var hasEndedOwn = false
    private var timer: UInt64 = 0

    init(connection: Int32, script: ClientScript, octets: [UInt8], ends: [Int]) {
        self.script = script
        self.octets = octets
        self.ends = ends
        stream = PacedStream(connection: connection, pace: script.pace)
    }

    mutating func advance(_ kernel: SimulatedKernel, _ ledger: HTTPLedger) {
        if isDone { return }
        let began = beganAt ?? kernel.now
        beganAt = began
        if kernel.connection(stream.connection).pointee.resetReachedPeer { return close(kernel) }
        stream.read(kernel)
        let count = ledger.answersWithin(stream.received, of: stream.connection)
        if count != answered { (answered, answeredAt) = (count, kernel.now) }
        if stream.hasEnded(kernel) { return close(kernel) }
        if case .losesPatience(let time, let resets) = script.ending, answered < script.requests.count {
            if kernel.now >= began + time { return resets ? reset(kernel) : close(kernel) }
            wakeAt(began + time, kernel)
        }
        send(kernel)
        if !isDone, sent == octets.count { finish(kernel) }
    }

    private mutating func send(_ kernel: SimulatedKernel) {
        var last = octets.count
        if !script.pipelines {
            let isFirst = answered == 0
            if !isFirst, answered < ends.count, sent == ends[answered - 1],
                kernel.now < answeredAt + script.pauseNanoseconds
            {
                return wakeAt(answeredAt + script.pauseNanoseconds, kernel)
            }
            last = ends[min(answered, ends.count - 1)]
        }
        switch script.ending {
        case .dies(let place, let resets):
            sent += stream.write(octets, sent, min(last, place), kernel)
            if sent == place { resets ? reset(kernel) : close(kernel) }
        case .stops(let place): sent += stream.write(octets, sent, min(last, place), kernel)
        default: sent += stream.write(octets, sent, last, kernel)
        }
    }

    /// Everything is sent.
    private mutating func finish(_ kernel: SimulatedKernel) {
        if case .halfCloses = script.ending { endOwn(kernel) }
        guard answered == script.requests.count else { return }
        switch script.ending {
        case .closesAtOnce, .losesPatience: close(kernel)
        default: endOwn(kernel)
        }
    }

    private mutating func wakeAt(_ time: UInt64, _ kernel: SimulatedKernel) {
        if timer != time { kernel.schedulePeerTimer(stream.connection, at: time) }
        timer = time
    }

    private mutating func endOwn(_ kernel: SimulatedKernel) {
        if hasEndedOwn { return }
        hasEndedOwn = true
        kernel.peerEnd(stream.connection)
    }

    private mutating func close(_ kernel: SimulatedKernel) {
        kernel.peerClose(stream.connection)
        isDone = true
    }

    private mutating func reset(_ kernel: SimulatedKernel) {
        kernel.peerReset(stream.connection)
        isDone = true
    }
}

struct HTTPBackend {
    private enum State {
        case waiting
        /// The request's body may still come.
        case planned(AnswerPlan)
        case sending(AnswerPlan)
        /// Neither answers nor goes.
        case silent
    }

    private var stream: PacedStream
    private var state = State.waiting
    private var served = 0
    private var octets: [UInt8] = []
    private var sent = 0
    private(set) var isDone = false
    /// When the answer may begin.
    private var beginsAt: UInt64 = 0
    /// When it closes an idle connection; 0 for not.
    private var closesAt: UInt64 = 0
    private var saysUnasked = false
    private var timer: UInt64 = 0

    init(connection: Int32, pace: Pace, greeting: Bool) {
        stream = PacedStream(connection: connection, pace: pace)
        if greeting { octets = Array("220 ready\r\n".utf8) }
    }

    mutating func advance(_ kernel: SimulatedKernel, _ ledger: HTTPLedger) {
        if isDone { return }
        if kernel.connection(stream.connection).pointee.resetReachedPeer { return close(kernel) }
        stream.read(kernel)
        var goesOn = true
        while goesOn, !isDone { goesOn = step(kernel, ledger) }
        if !isDone, stream.hasEnded(kernel) { close(kernel) }
    }

    /// True where there may be more to do at once.
    private mutating func step(_ kernel: SimulatedKernel, _ ledger: HTTPLedger) -> Bool {
        switch state {
        case .waiting:
            sent += stream.write(octets, sent, octets.count, kernel)
            if closesAt > 0, kernel.now >= closesAt {
                if saysUnasked {
                    let words = Array("and another thing\r\n".utf8)
                    _ = stream.write(words, 0, words.count, kernel)
                }
                close(kernel)
                return false
            }
            guard let plan = ledger.plan(stream.connection, served, received: stream.received) else {
                return false
            }
            beginsAt = kernel.now + plan.pauseNanoseconds
            state = .planned(plan)
            return true
        case .planned(let plan): return begin(plan, kernel, ledger)
        case .sending(let plan): return send(plan, kernel, ledger)
        case .silent: return false
        }
    }

    private mutating func begin(_ plan: AnswerPlan, _ kernel: SimulatedKernel, _ ledger: HTTPLedger) -> Bool {
        guard plan.isEarly || ledger.isWhole(stream.connection, served, received: stream.received) else {
            return false
        }
        if kernel.now < beginsAt {
            wakeAt(beginsAt, kernel)
            return false
        }
        switch plan.fault {
        case .silent: state = .silent
        case .gone(let resets): resets ? reset(kernel) : close(kernel)
        default:
            octets = ledger.begin(plan, stream.connection)
            if case .tooMany = plan.fault { octets += Array("and more".utf8) }
            sent = 0
            state = .sending(plan)
        }
        return true
    }

    private mutating func send(_ plan: AnswerPlan, _ kernel: SimulatedKernel, _ ledger: HTTPLedger) -> Bool {
        var last = octets.count
        if case .cut(let place, _) = plan.fault { last = min(last, place) }
        sent += stream.write(octets, sent, last, kernel)
        guard sent == last else { return false }
        if case .cut(_, let resets) = plan.fault, last < octets.count {
            resets ? reset(kernel) : close(kernel)
            return false
        }
        served += 1
        state = .waiting
        octets = []
        sent = 0
        closesAt = 0
        switch plan.after {
        case .keeps: break
        case .closes where ledger.plan.backendsLinger:
            kernel.peerEnd(stream.connection)
            state = .silent
            return false
        case .closes: close(kernel)
        case .resets: reset(kernel)
        case .closesLater(let time, let unasked):
            closesAt = kernel.now + time
            saysUnasked = unasked
            wakeAt(closesAt, kernel)
        }
        return !isDone
    }

    private mutating func wakeAt(_ time: UInt64, _ kernel: SimulatedKernel) {
        if timer != time { kernel.schedulePeerTimer(stream.connection, at: time) }
        timer = time
    }

    private mutating func close(_ kernel: SimulatedKernel) {
        kernel.peerClose(stream.connection)
        isDone = true
    }

    private mutating func reset(_ kernel: SimulatedKernel) {
        kernel.peerReset(stream.connection)
        isDone = true
    }
}
