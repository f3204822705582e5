// The queues themselves: waiting, fullness, overflow, tokens, on each kernel.

import CLiburing
import Glibc
import Ring
import Testing

@Suite struct QueueTests {
    private func now(_ bench: Bench) -> UInt64 {
        bench.ring.port.monotonicNow(bench.ring.port.context)
    }

    @Test(arguments: Kernel.usable)
    func waitingEndsAtItsTime(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let port = bench.ring.port
        for wanted: UInt64 in [1, 200_000, 3_000_000, 20_000_000] {
            var start: UInt64
            var result: Int32
            repeat {
                start = now(bench)
                result = port.submitAndWait(port.context, bench.ring.raw, wanted)
                // Another test's ring on this thread may still be winding down.
            } while result == -EINTR
            #expect(result == -ETIME)
            #expect(now(bench) - start >= wanted)
        }
        #expect(port.submitAndWait(port.context, bench.ring.raw, 0) == 0)
        #expect(bench.ring.submitAndWait(timeoutNanoseconds: 1000) == 0)
        // An operation that waits does not make the wait any longer.
        let (near, far) = socketPair()
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        #expect(bench.ring.submitAndWait(timeoutNanoseconds: 1_000_000) >= 0)
        #expect(bench.ring.pending().count == 0)
        withExtendedLifetime(far) {}
    }

    @Test(arguments: Kernel.usable)
    func whatIsThereAlreadyEndsTheWait(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        bench.ring.pollWritable(near.number, token: token(1))
        #expect(bench.ring.submitAndWait(timeoutNanoseconds: .max) >= 0)
        // Not consumed yet: it ends the next wait too.
        #expect(bench.ring.submitAndWait(timeoutNanoseconds: .max) >= 0)
        #expect(bench.ring.pending().count == 1)
        withExtendedLifetime(far) {}
    }

    @Test(arguments: Kernel.usable)
    func aFullSubmissionQueueIsSubmitted(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, submissionEntries: 4, completionEntries: 256)
        let (near, far) = socketPair()
        for index in 0..<100 { bench.ring.pollWritable(near.number, token: token(UInt64(index))) }
        #expect(try bench.collect(100).count == 100)
        withExtendedLifetime(far) {}
    }

    @Test(arguments: Kernel.usable)
    func noCompletionIsLostWhenTheirQueueIsFull(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, submissionEntries: 8, completionEntries: 8)
        let (near, far) = socketPair()
        for index in 0..<500 { bench.ring.pollWritable(near.number, token: token(UInt64(index))) }
        let found = try bench.collect(500)
        #expect(found.values.allSatisfy { $0.result == Int32(POLLOUT) })
        #expect(bench.ring.droppedCompletions == 0)
        #expect(bench.turn().isEmpty)
        withExtendedLifetime(far) {}
    }

    @Test(arguments: Kernel.usable)
    func noByteIsLostWhenTheCompletionQueueIsFull(_ kernel: Kernel) throws {
        let bench = try Bench(
            kernel, submissionEntries: 4, completionEntries: 4, bufferCount: 64, bufferSizeBytes: 16)
        let (near, far) = socketPair()
        let bytes = pattern(16 * 50)
        far.write(bytes)
        #expect(try bench.receive(near.number, count: bytes.count) == bytes)
        #expect(bench.ring.droppedCompletions == 0)
    }

    @Test(arguments: Kernel.usable)
    func noConnectionIsLostWhenTheCompletionQueueIsFull(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, submissionEntries: 4, completionEntries: 4)
        let (listener, address) = listener()
        let clients = (0..<20).map { _ in client(of: address) }
        bench.ring.acceptMultishot(listener.number, token: token(1))
        var accepted = 0
        while accepted < clients.count {
            let completion = try bench.next()
            #expect(completion.result >= 0)
            close(completion.result)
            accepted += 1
            if !completion.hasMore { bench.ring.acceptMultishot(listener.number, token: token(1)) }
        }
    }

    @Test func aTokenMatchesItsGenerationOnly() {
        let made = Token(operation: 9, generation: 0xAB_CDEF, slot: 77)
        #expect(made.operation == 9 && made.slot == 77)
        #expect(made.matches(generation: 0xAB_CDEF))
        #expect(!made.matches(generation: 0xAB_CDF0))
        // The low 24 bits are what a token can hold.
        #expect(made.matches(generation: 0x01AB_CDEF))
        #expect(Token(bits: made.bits) == made)
    }

    @Test(arguments: Kernel.usable)
    func lateCompletionsCarryTheTokenThatTheyWereSubmittedWith(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        let old = Token(operation: 1, generation: 5, slot: 3)
        let new = Token(operation: 1, generation: 7, slot: 3)
        bench.ring.pollReadable(near.number, token: old)
        bench.ring.pollReadable(near.number, token: new)
        #expect(bench.turn().isEmpty)
        bench.ring.cancel(old, token: token(1))
        let first = try bench.collect(2)[old.bits]
        #expect(first?.token.matches(generation: 7) == false && first?.result == -ECANCELED)
        far.write([1])
        #expect(try bench.next().token.matches(generation: 7))
    }
}
