// The same random script of operations on every kernel: what is sent arrives, and the bytes that arrive and
// how everything ends do not depend on which kernel executes it.

import Base
import CLiburing
import Glibc
import Ring
import Testing

/// What a script came to, in terms that do not depend on how bytes were cut into completions.
private struct Trace: Equatable {
    /// The bytes that arrived at each end, and those that were sent from it.
    var received: [Digest]
    var sent: [Digest]
    /// Notable results in the order of the script.
    var events: [String] = []
}

/// A stream of bytes, in few (FNV-1a).
private struct Digest: Equatable {
    var count = 0
    private var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        count += bytes.count
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
}

/// Connected pairs of sockets, with one operation of each kind at most in flight on each end.
private final class Script {
    private enum Kind: UInt64 {
        case receive, send, poll, cancel
    }

    private struct End {
        let socket: Owned
        var isReceiving = false
        var isSending = false
        var isPolling = false
        var isFinished = false
        /// What the script wants to be sent; the first of it is in flight.
        var payloads: [UnsafeMutableRawBufferPointer] = []
    }

    private let bench: Bench
    private var random: RandomSource
    private var ends: [End] = []
    private var trace: Trace

    init(_ kernel: Kernel, seed: UInt64) throws {
        random = RandomSource(seed: seed)
        let pairs = 1 + Int(random.next(below: 4))
        let usesTCP = random.next(below: 2) == 0
        bench = try Bench(
            kernel, submissionEntries: 16, completionEntries: 16 << random.next(below: 4),
            bufferCount: 4 << Int(random.next(below: 4)), bufferSizeBytes: 64 << Int(random.next(below: 6)))
        for _ in 0..<pairs {
            let (near, far) = usesTCP ? tcpPair() : socketPair()
            ends += [End(socket: near), End(socket: far)]
        }
        trace = Trace(
            received: Array(repeating: Digest(), count: ends.count),
            sent: Array(repeating: Digest(), count: ends.count))
    }

    deinit { for payload in ends.flatMap(\.payloads) { payload.deallocate() } }

    private func name(_ kind: Kind, _ end: Int) -> Token { token(kind.rawValue << 32 | UInt64(end)) }

    func run() throws -> Trace {
        for _ in 0..<300 {
            let end = Int(random.next(below: UInt32(ends.count)))
            switch random.next(below: 12) {
            case 0..<4: send(end, count: 1 + Int(random.next(below: 1 << (1 + random.next(below: 16)))))
            case 4..<7:
                startReceive(
                    end, isMultishot: random.next(below: 3) > 0, length: Int(random.next(below: 5000)))
            case 7: try cancelReceive(end)
            case 8: startPoll(end)
            case 9: try settle()
            default: handle(bench.turn())
            }
        }
        try finish()
        return trace
    }

    /// One send is in flight on an end at a time; what the script draws does not depend on how far it is.
    private func send(_ end: Int, count: Int) {
        let bytes = pattern(count, seed: UInt8(truncatingIfNeeded: trace.sent[end].count))
        let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
        payload.copyBytes(from: bytes)
        ends[end].payloads.append(payload)
        // After the shutdown nothing goes out any more.
        if !ends[end].isFinished { trace.sent[end].append(UnsafeRawBufferPointer(payload)) }
        startSend(end)
    }

    private func startSend(_ end: Int) {
        guard !ends[end].isSending, let payload = ends[end].payloads.first else { return }
        ends[end].isSending = true
        let socket = ends[end].socket.number
        bench.ring.send(socket, payload.baseAddress!, count: payload.count, token: name(.send, end))
    }

    private func startReceive(_ end: Int, isMultishot: Bool, length: Int = 0) {
        if ends[end].isReceiving || ends[end].isFinished { return }
        ends[end].isReceiving = true
        let (socket, token) = (ends[end].socket.number, name(.receive, end))
        if isMultishot {
            bench.ring.receiveMultishot(socket, group: 7, token: token)
        } else {
            bench.ring.receive(socket, group: 7, length: length, token: token)
        }
    }

    private func startPoll(_ end: Int) {
        if ends[end].isPolling { return }
        ends[end].isPolling = true
        bench.ring.pollReadable(ends[end].socket.number, token: name(.poll, end))
    }

    /// Ends the receive and waits for it: whether it was found depends on what came first.
    private func cancelReceive(_ end: Int) throws {
        bench.ring.cancel(name(.receive, end), token: name(.cancel, end))
        while true {
            let completion = try bench.next()
            handle([completion])
            if completion.token == name(.cancel, end) { break }
        }
        while ends[end].isReceiving { handle([try bench.next()]) }
    }

    /// Receives on all ends until no send is in flight.
    private func settle() throws {
        while ends.contains(where: { $0.isSending }) {
            for end in ends.indices { startReceive(end, isMultishot: true) }
            handle([try bench.next()])
        }
    }

    /// Shuts each end down, in the script's order, and receives everything up to the ends.
    private func finish() throws {
        try settle()
        for end in ends.indices { #expect(shutdown(ends[end].socket.number, Int32(SHUT_WR)) == 0) }
        while ends.contains(where: { !$0.isFinished }) {
            for end in ends.indices { startReceive(end, isMultishot: true) }
            handle([try bench.next()])
        }
        for end in ends.indices {
            send(end, count: 1)
            while ends[end].isSending || ends[end].isPolling { handle([try bench.next()]) }
            bench.ring.cancelAll(on: ends[end].socket.number, token: name(.cancel, end))
            let nothing = try bench.next()
            trace.events.append("cancel \(nothing.result)")
            bench.ring.close(ends[end].socket.giveUp(), token: token(1))
        }
        #expect(bench.turn().isEmpty)
        #expect(bench.buffers.heldCount == 0)
    }

    private func handle(_ completions: [Completion]) {
        for completion in completions {
            let end = Int(completion.token.slot)
            switch Kind(rawValue: completion.token.bits >> 32)! {
            case .receive: received(end, completion)
            case .send:
                ends[end].isSending = false
                let payload = ends[end].payloads.removeFirst()
                if Int(completion.result) != payload.count {
                    trace.events.append("send \(completion.result)")
                }
                payload.deallocate()
                startSend(end)
            case .poll:
                ends[end].isPolling = false
                #expect(completion.result & Int32(POLLIN) != 0)
            case .cancel:
                #expect(completion.result == 0 || completion.result == -ENOENT)
            }
        }
    }

    private func received(_ end: Int, _ completion: Completion) {
        if !completion.hasMore { ends[end].isReceiving = false }
        switch completion.result {
        case 1...:
            let bytes = try? bench.take(completion)
            bytes?.withUnsafeBytes { trace.received[end].append($0) }
        case 0:
            #expect(!completion.hasMore && completion.buffer == nil)
            ends[end].isFinished = true
        case -ENOBUFS, -ECANCELED: #expect(!completion.hasMore)
        default: trace.events.append("receive \(end): \(completion.result)")
        }
    }
}

@Suite struct DifferentialTests {
    @Test(arguments: Kernel.usable, 1...60 as ClosedRange<UInt64>)
    func whatAScriptSendsArrives(_ kernel: Kernel, seed: UInt64) throws {
        let trace = try Script(kernel, seed: seed).run()
        for (end, sent) in trace.sent.enumerated() {
            #expect(trace.received[end ^ 1] == sent)
        }
    }

    @Test(.needsRealKernel, arguments: 1...60 as ClosedRange<UInt64>)
    func aScriptEndsTheSameOnEveryKernel(seed: UInt64) throws {
        let traces = try Kernel.allCases.map { try Script($0, seed: seed).run() }
        for trace in traces { #expect(trace == traces[0]) }
    }
}
