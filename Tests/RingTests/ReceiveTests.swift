// Receiving into provided buffers, on each kernel.

import CLiburing
import Glibc
import Ring
import Testing

@Suite struct ReceiveTests {
    @Test(arguments: Kernel.usable)
    func multishotReceivesUntilTheEnd(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for (near, far) in [socketPair(), tcpPair()] {
            bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
            #expect(bench.turn().isEmpty)
            for round in 0..<10 {
                far.write(pattern(100 + round))
                let completion = try bench.next()
                #expect(completion.hasMore && completion.result == 100 + Int32(round))
                #expect(try bench.take(completion) == pattern(100 + round))
            }
            far.end()
            let last = try bench.next()
            #expect(last.token == token(1) && last.result == 0 && !last.hasMore && last.buffer == nil)
            #expect(bench.buffers.heldCount == 0)
        }
    }

    @Test(arguments: Kernel.usable)
    func dataAndEndThatCameBeforeTheReceiveAreBothSeen(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for armsFirst in [false, true] {
            for (near, far) in [socketPair(), tcpPair()] {
                if armsFirst {
                    bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
                    #expect(bench.turn().isEmpty)
                }
                far.write(pattern(10))
                far.end()
                if !armsFirst { bench.ring.receiveMultishot(near.number, group: 7, token: token(1)) }
                let data = try bench.next()
                #expect(try bench.take(data) == pattern(10))
                #expect(data.hasMore)
                let last = try bench.next()
                #expect(last.result == 0 && !last.hasMore)
            }
        }
    }

    /// Without data: the kernel's side is only counted.
    @Test(arguments: [false, true])
    func buffersGrowWhenABatchHasUsedUpTheKernels(_ isUsedUp: Bool) throws {
        let bench = try Bench(Kernel.usable[0], bufferCount: 1000)
        let (count, shared) = (bench.buffers.count, bench.buffers.inKernelCount)
        for buffer in 0..<UInt16(isUsedUp ? shared : shared - 1) {
            bench.buffers.take(buffer, length: 1)
            bench.buffers.giveBack(buffer)
        }
        bench.buffers.growIfNeeded()
        #expect(bench.buffers.count == (isUsedUp ? 2 * count : count))
    }

    @Test(arguments: Kernel.usable)
    func halfClosedPeerGivesTheEnd(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = tcpPair()
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        far.write(pattern(10))
        #expect(try bench.take(bench.next()) == pattern(10))
        #expect(bench.turn().isEmpty)
        #expect(shutdown(far.number, Int32(SHUT_WR)) == 0)
        let last = try bench.next()
        #expect(last.result == 0 && !last.hasMore)
        let bytes = pattern(20)
        bytes.withUnsafeBytes {
            bench.ring.send(near.number, $0.baseAddress!, count: $0.count, token: token(2))
            _ = bench.ring.submitAndWait(timeoutNanoseconds: 0)
        }
        #expect(try bench.next().result == 20)
        #expect(far.readNow() == bytes)
    }

    @Test(arguments: Kernel.usable)
    func aResetEndsTheReceive(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = tcpPair()
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        #expect(bench.turn().isEmpty)
        resetOnClose(far)
        far.end()
        let last = try bench.next()
        #expect(last.result == -ECONNRESET && !last.hasMore && last.buffer == nil)
    }

    @Test(arguments: Kernel.usable)
    func withoutBuffersTheReceiveEndsAndGoesOnLater(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, bufferCount: 2, bufferSizeBytes: 64)
        let (near, far) = tcpPair()
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        var held: [Completion] = []
        for round in 0..<2 {
            far.write(pattern(8, seed: UInt8(round)))
            let completion = try bench.next()
            #expect(completion.hasMore)
            #expect(try bench.keep(completion) == pattern(8, seed: UInt8(round)))
            held.append(completion)
        }
        far.write(pattern(8, seed: 9))
        let starved = try bench.next()
        #expect(starved.result == -ENOBUFS && !starved.hasMore && starved.buffer == nil)

        // Without a buffer a receive ends at once, data or not.
        bench.ring.receive(near.number, group: 7, length: 0, token: token(2))
        #expect(try bench.next().result == -ENOBUFS)
        let (silent, other) = socketPair()
        bench.ring.receiveMultishot(silent.number, group: 7, token: token(3))
        #expect(try bench.next().result == -ENOBUFS)

        for completion in held { bench.giveBack(completion) }
        bench.ring.receiveMultishot(near.number, group: 7, token: token(4))
        let again = try bench.next()
        #expect(again.hasMore)
        #expect(try bench.take(again) == pattern(8, seed: 9))
        withExtendedLifetime(other) {}
    }

    @Test(arguments: Kernel.usable)
    func anUnknownGroupHasNoBuffers(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        far.write([1])
        bench.ring.receive(near.number, group: 3, length: 0, token: token(1))
        #expect(try bench.next().result == -ENOBUFS)
    }

    @Test(arguments: Kernel.usable)
    func singleReceiveTakesAtMostItsLength(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, bufferSizeBytes: 64)
        let (near, far) = socketPair()
        bench.ring.receive(near.number, group: 7, length: 10, token: token(1))
        #expect(bench.turn().isEmpty)
        far.write(pattern(300))
        let first = try bench.next()
        #expect(!first.hasMore)
        #expect(try bench.take(first) == Array(pattern(300).prefix(10)))
        for (length, expected) in [(0, 64), (1000, 64), (64, 64), (63, 63)] {
            bench.ring.receive(near.number, group: 7, length: length, token: token(2))
            let completion = try bench.next()
            #expect(Int(completion.result) == expected && !completion.hasMore)
            _ = try bench.take(completion)
        }
        far.end()
        while true {
            bench.ring.receive(near.number, group: 7, length: 0, token: token(3))
            let completion = try bench.next()
            if completion.buffer == nil {
                #expect(completion.result == 0)
                break
            }
            _ = try bench.take(completion)
        }
    }

    @Test(arguments: Kernel.usable)
    func manyBytesOnTwoSocketsComeInOrder(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, bufferCount: 256, bufferSizeBytes: 64)
        let pairs = [socketPair(), tcpPair()]
        let bytes = pattern(64 * 200)
        for (index, pair) in pairs.enumerated() {
            pair.1.write(bytes)
            bench.ring.receiveMultishot(pair.0.number, group: 7, token: token(UInt64(index)))
        }
        var received: [[UInt8]] = [[], []]
        while received.contains(where: { $0.count < bytes.count }) {
            let completion = try bench.next()
            let index = Int(completion.token.bits)
            if completion.result > 0 { received[index] += try bench.take(completion) }
            if !completion.hasMore {
                bench.ring.receiveMultishot(pairs[index].0.number, group: 7, token: completion.token)
            }
        }
        #expect(received == [bytes, bytes])
    }

    @Test(arguments: Kernel.usable)
    func aBusySocketDoesNotStarveAnother(_ kernel: Kernel) throws {
        let bench = try Bench(
            kernel, completionEntries: 1024, bufferCount: 512, bufferSizeBytes: 16)
        let (busy, busyPeer) = socketPair()
        let (quiet, quietPeer) = socketPair()
        busyPeer.write(pattern(16 * 400))
        quietPeer.write([42])
        bench.ring.receiveMultishot(busy.number, group: 7, token: token(1))
        bench.ring.receiveMultishot(quiet.number, group: 7, token: token(2))
        var before = 0
        var hasQuiet = false
        while before < 400 || !hasQuiet {
            let completion = try bench.next()
            if completion.result == -ENOBUFS {
                // A burst may use up the buffers that circulate at first.
                bench.ring.receiveMultishot(busy.number, group: 7, token: token(1))
                continue
            }
            _ = try bench.take(completion)
            if completion.token == token(2) {
                #expect(before < 400)
                hasQuiet = true
            } else {
                before += 1
            }
        }
    }

    @Test(arguments: Kernel.usable)
    func urgentDataDoesNotStallTheStream(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for armsFirst in [false, true] {
            let (near, far) = tcpPair()
            if armsFirst {
                bench.ring.receiveMultishot(near.number, group: 7, token: token(0xFEED))
                #expect(bench.turn().isEmpty)
            }
            far.write([1, 2, 3])
            far.write([99], flags: Int32(MSG_OOB))
            far.write([4, 5, 6])
            if !armsFirst { bench.ring.receiveMultishot(near.number, group: 7, token: token(0xFEED)) }
            var bytes: [UInt8] = []
            while bytes.count < 6 { bytes += try bench.take(bench.next()) }
            #expect(bytes == [1, 2, 3, 4, 5, 6])
            bench.ring.cancelAll(on: near.number, token: token(3))
            #expect(try bench.collect(2)[3]?.result == 1)
        }
    }

    @Test(arguments: Kernel.usable)
    func datagramsKeepTheirBorders(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair(kind: Int32(SOCK_SEQPACKET.rawValue))
        for length in 1...5 { far.write(pattern(length)) }
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        for length in 1...5 { #expect(try bench.take(bench.next()) == pattern(length)) }
        far.write(pattern(6))
        #expect(try bench.take(bench.next()) == pattern(6))
    }

    @Test(arguments: Kernel.usable)
    func receivingFromWhatIsNoSocketFails(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (reader, writer) = makePipe()
        bench.ring.receiveMultishot(reader.number, group: 7, token: token(1))
        bench.ring.receiveMultishot(19_999, group: 7, token: token(2))
        let unconnected = Owned(socket(AF_INET, streamKind, 0))
        bench.ring.receiveMultishot(unconnected.number, group: 7, token: token(3))
        let found = try bench.collect(3)
        #expect(found[1]?.result == -ENOTSOCK)
        #expect(found[2]?.result == -EBADF)
        #expect(found[3]?.result == -ENOTCONN)
        withExtendedLifetime(writer) {}
    }
}
