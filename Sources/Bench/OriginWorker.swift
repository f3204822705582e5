// The origin: a server that answers with a fixed size, or with what it was sent, at once or after a while. One
// thread, one ring. This file has the loop, accepting and closing; `OriginAnswers` reads and answers.

import Base
import Glibc
import HTTP1
import Ring

struct OriginWorker: ~Copyable {
    /// What it tells at the end.
    struct Counts {
        var connections: UInt64 = 0
        var requests: UInt64 = 0
        var responses: UInt64 = 0
        /// Answers that were held back.
        var delayed: UInt64 = 0
        /// Requests that were not understood, or too many at once.
        var refused: UInt64 = 0
        /// Connections that broke, rather than ended.
        var broken: UInt64 = 0
        var bytesReceived: UInt64 = 0
        var bytesSent: UInt64 = 0
    }

    private static let fieldLimit = 100
    private static let mostConnections = 30_000
    /// After accept(2) failed, which it does where descriptors are short.
    private static let acceptPauseNanoseconds: UInt64 = 10_000_000

    let ring: Ring
    var buffers: BufferRing
    var connections: Slab<OriginConnection>
    /// For each connection, room for a head that comes in pieces, and for what it owes.
    let heads: UnsafeMutablePointer<UInt8>
    let owed: UnsafeMutablePointer<OwedAnswer>
    let loadAnswers: UnsafeMutablePointer<UInt8>
    var load = OriginLoad()
    let fields: FieldTable
    let fieldMemory: UnsafeMutablePointer<Field>
    var responses: OriginResponses
    var delays = DelayQueue()
    var random = RandomSource(seed: 1)
    var now: UInt64
    var counts = Counts()
    let isHTTP: Bool
    let isEcho: Bool
    let bodyBytes: Int
    let requestBytes: Int
    let delayNanoseconds: UInt64
    let delayedShare: Double
    private let listener: Int32
    private let signalDescriptor: Int32
    /// When to accept again; nil while it is being done.
    private var acceptsAt: UInt64?
    private var isDone = false

    init(
        _ options: OriginOptions, listener: Int32, signalDescriptor: Int32, isReal: Bool
    ) throws(BenchError) {
        let capacity = min(Self.mostConnections, BenchKernel.raiseDescriptorLimit())
        let ring = try BenchKernel.makeRing(onRealKernel: isReal)
        // The echo holds a buffer for each connection while it goes back.
        buffers = try BenchKernel.makeBuffers(ring, limit: min(2 * capacity, 32_768))
        connections = Slab(capacity: capacity)
        heads = PagedMemory.reserve(UInt8.self, count: capacity * RequestReader.headLimitBytes)
        owed = PagedMemory.reserve(OwedAnswer.self, count: capacity * OriginConnection.owedLimit)
        loadAnswers = PagedMemory.reserve(UInt8.self, count: capacity * Self.loadAnswerLimitBytes)
        fieldMemory = PagedMemory.reserve(Field.self, count: Self.fieldLimit)
        fields = FieldTable(fieldMemory, capacity: Self.fieldLimit)
        responses = OriginResponses(name: options.name)
        now = BenchKernel.now(ring)
        self.ring = ring
        isHTTP = options.mode == .http
        isEcho = options.mode == .tcp && options.sizeBytes == nil
        bodyBytes = options.sizeBytes ?? 128
        requestBytes = options.messageBytes
        delayNanoseconds = options.delayNanoseconds
        delayedShare = options.delayedShare
        self.listener = listener
        self.signalDescriptor = signalDescriptor
    }

    deinit {
        PagedMemory.release(heads, byteCount: connections.capacity * RequestReader.headLimitBytes)
        PagedMemory.release(
            owed,
            byteCount: connections.capacity * OriginConnection.owedLimit * MemoryLayout<OwedAnswer>.stride)
        PagedMemory.release(loadAnswers, byteCount: connections.capacity * Self.loadAnswerLimitBytes)
        PagedMemory.release(fieldMemory, byteCount: Self.fieldLimit * MemoryLayout<Field>.stride)
    }

    /// Serves until a signal comes. Answers 0, or the errno that made the ring unusable.
    mutating func run() -> Int32 {
        ring.pollReadable(signalDescriptor, token: Self.token(.signal))
        accept()
        while !isDone {
            let failure = turn()
            if failure != 0 { return failure }
        }
        return 0
    }

    /// One turn of the loop. Answers 0, or the errno that made the ring unusable.
    mutating func turn() -> Int32 {
        let result = ring.submitAndWait(timeoutNanoseconds: timeUntilNextEvent())
        if result < 0 { return -result }
        now = ring.port.monotonicNow(ring.port.context)
        let (first, count) = ring.pending()
        for offset in 0..<count { dispatch(ring.completion(at: first &+ offset)) }
        ring.consume(count)
        while let entry = delays.popDue(now: now) {
            guard connections.isLive(entry.slot), connections.generation(entry.slot) == entry.generation
            else { continue }
            sendWhatIsDue(entry.slot)
            releaseIfOver(entry.slot)
        }
        if let time = acceptsAt, time <= now { accept() }
        buffers.growIfNeeded()
        buffers.publish()
        return 0
    }

    private func timeUntilNextEvent() -> UInt64 {
        let next = min(delays.nextDue ?? .max, acceptsAt ?? .max)
        if next == .max { return .max }
        return next > now ? next - now : 0
    }

    private mutating func dispatch(_ completion: Completion) {
        guard let operation = OriginConnection.Operation(rawValue: completion.token.operation) else {
            preconditionFailure("a completion belongs to a submission")
        }
        let slot = completion.token.slot
        switch operation {
        case .accept: return accepted(completion)
        case .signal:
            isDone = true
            return
        case .close: preconditionFailure("a descriptor is closed once")
        case .receive, .send: break
        }
        precondition(
            connections.isLive(slot) && completion.token.matches(generation: connections.generation(slot)),
            "a slot is freed when nothing of it is in the kernel")
        if !completion.hasMore { connections[slot].pointee.inKernel &= ~operation.rawValue }
        if operation == .receive { received(slot, completion) } else { sent(slot, completion.result) }
        releaseIfOver(slot)
    }

    // MARK: Accepting and closing

    private mutating func accept() {
        acceptsAt = nil
        ring.acceptMultishot(listener, token: Self.token(.accept))
    }

    private mutating func accepted(_ completion: Completion) {
        if !completion.hasMore { acceptsAt = completion.result < 0 ? now + Self.acceptPauseNanoseconds : now }
        guard completion.result >= 0 else { return }
        guard let slot = connections.allocate() else {
            ring.close(completion.result, token: Self.token(.close))
            return
        }
        counts.connections += 1
        connections[slot].pointee = OriginConnection(descriptor: completion.result)
        receive(slot)
    }

    /// Ends a connection; what is in the kernel comes back because the socket is shut down.
    mutating func close(_ slot: UInt32) {
        let connection = connections[slot]
        if connection.pointee.isClosing { return }
        connection.pointee.isClosing = true
        if connection.pointee.inKernel != 0 {
            _ = ring.port.shutdown(ring.port.context, connection.pointee.descriptor, Int32(SHUT_RDWR))
        }
    }

    /// Called last of all that is done about a connection: nothing else frees its slot.
    private mutating func releaseIfOver(_ slot: UInt32) {
        let connection = connections[slot]
        guard connection.pointee.isClosing, connection.pointee.inKernel == 0 else { return }
        if connection.pointee.heldBuffer != BufferRing.none {
            buffers.giveBack(connection.pointee.heldBuffer)
        }
        for index in 0..<connection.pointee.owedCount { settle(answer(slot, index).pointee, isSent: false) }
        ring.close(connection.pointee.descriptor, token: Self.token(.close))
        connections.release(slot)
    }

    private static func token(_ operation: OriginConnection.Operation) -> Token {
        Token(operation: operation.rawValue, generation: 0, slot: 0)
    }

    func submitting(_ operation: OriginConnection.Operation, _ slot: UInt32) -> Token {
        let connection = connections[slot]
        precondition(!connection.pointee.isInKernel(operation), "one of each operation at a time")
        connection.pointee.inKernel |= operation.rawValue
        return Token(
            operation: operation.rawValue, generation: connections.generation(slot), slot: slot)
    }
}
