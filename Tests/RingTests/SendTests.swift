// Sending with MSG_WAITALL, on each kernel.

import CLiburing
import Glibc
import Ring
import Testing

@Suite struct SendTests {
    /// Memory that stays where it is while a send is in flight.
    private final class Payload {
        let memory: UnsafeMutableRawBufferPointer
        init(_ bytes: [UInt8]) {
            memory = .allocate(byteCount: bytes.count, alignment: 1)
            memory.copyBytes(from: bytes)
        }
        deinit { memory.deallocate() }
    }

    @Test(arguments: Kernel.usable)
    func aBigSendToASlowReaderCompletesWhole(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for (near, far) in [socketPair(), tcpPair()] {
            let bytes = pattern(8 << 20)
            let payload = Payload(bytes)
            bench.ring.send(
                near.number, payload.memory.baseAddress!, count: bytes.count, token: token(1))
            #expect(bench.turn().isEmpty)
            var received: [UInt8] = []
            var completions: [Completion] = []
            while received.count < bytes.count {
                completions += bench.turn()
                if let more = far.readNow(limit: 100_000) { received += more }
            }
            if completions.isEmpty { completions.append(try bench.next()) }
            #expect(completions.count == 1 && Int(completions[0].result) == bytes.count)
            #expect(received == bytes)
        }
    }

    @Test(arguments: Kernel.usable)
    func aReceiveAndASendWaitOnOneSocket(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = tcpPair()
        let payload = Payload(pattern(8 << 20))
        bench.ring.receiveMultishot(near.number, group: 7, token: token(2))
        bench.ring.send(near.number, payload.memory.baseAddress!, count: 8 << 20, token: token(1))
        #expect(bench.turn().isEmpty)
        far.write(pattern(5))
        #expect(try bench.take(bench.next()) == pattern(5))
        var total = 0
        while total < 8 << 20 {
            for completion in bench.turn() { #expect(completion.result == 8 << 20) }
            total += far.readNow()?.count ?? 0
        }
        far.write(pattern(6))
        while true {
            let completion = try bench.next()
            if completion.token == token(1) { continue }
            #expect(try bench.take(completion) == pattern(6))
            break
        }
    }

    @Test(arguments: Kernel.usable)
    func aClosedPeerBreaksTheSend(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        far.end()
        let payload = Payload([1, 2, 3])
        bench.ring.send(near.number, payload.memory.baseAddress!, count: 3, token: token(1))
        #expect(try bench.next().result == -EPIPE)
        let (shut, other) = tcpPair()
        #expect(shutdown(shut.number, Int32(SHUT_WR)) == 0)
        bench.ring.send(shut.number, payload.memory.baseAddress!, count: 3, token: token(1))
        #expect(try bench.next().result == -EPIPE)
        withExtendedLifetime(other) {}
    }

    @Test(arguments: Kernel.usable)
    func whatWasSentBeforeAFailureCounts(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        let payload = Payload(pattern(8 << 20))
        bench.ring.send(near.number, payload.memory.baseAddress!, count: 8 << 20, token: token(1))
        #expect(bench.turn().isEmpty)
        far.end()
        let completion = try bench.next()
        #expect(completion.result > 0 && completion.result < 8 << 20)
        bench.ring.send(near.number, payload.memory.baseAddress!, count: 10, token: token(2))
        let failure = try bench.next().result
        #expect(failure == -EPIPE || failure == -ECONNRESET)
    }

    @Test(arguments: Kernel.usable)
    func whatWasSentBeforeACancelCounts(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = tcpPair()
        let payload = Payload(pattern(8 << 20))
        bench.ring.send(near.number, payload.memory.baseAddress!, count: 8 << 20, token: token(1))
        #expect(bench.turn().isEmpty)
        bench.ring.cancel(token(1), token: token(2))
        let found = try bench.collect(2)
        #expect(found[2]?.result == 0)
        let sent = Int(found[1]?.result ?? 0)
        #expect(sent > 0 && sent < 8 << 20)
        var received = 0
        while received < sent { received += far.readNow()?.count ?? 0 }
        #expect(received == sent)
    }

    @Test(arguments: Kernel.usable)
    func aSendThatHasMovedNothingIsCancelled(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        let payload = Payload(pattern(8 << 20))
        while Glibc.send(near.number, payload.memory.baseAddress!, 1 << 16, Int32(MSG_DONTWAIT)) > 0 {}
        bench.ring.send(near.number, payload.memory.baseAddress!, count: 1 << 16, token: token(1))
        #expect(bench.turn().isEmpty)
        bench.ring.cancel(token(1), token: token(2))
        let found = try bench.collect(2)
        #expect(found[1]?.result == -ECANCELED && found[2]?.result == 0)
        withExtendedLifetime(far) {}
    }
}
