// Polling, cancelling and closing, on each kernel.

import CLiburing
import Glibc
import Ring
import Testing

@Suite struct PollCancelTests {
    @Test(arguments: Kernel.usable)
    func pollTellsOfWhatIsReadable(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for (near, far) in [socketPair(), tcpPair()] {
            bench.ring.pollReadable(near.number, token: token(1))
            #expect(bench.turn().isEmpty)
            far.write([1])
            let later = try bench.next()
            #expect(later.result == Int32(POLLIN) && !later.hasMore)
            bench.ring.pollReadable(near.number, token: token(2))
            #expect(try bench.next().result == Int32(POLLIN))
            #expect(near.readNow() == [1])
            bench.ring.pollReadable(near.number, token: token(3))
            #expect(bench.turn().isEmpty)
            #expect(shutdown(far.number, Int32(SHUT_WR)) == 0)
            #expect(try bench.next().result == Int32(POLLIN | POLLRDHUP))
        }
    }

    @Test(arguments: Kernel.usable)
    func pollTellsOfWhatIsWritable(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for (near, far) in [socketPair(), tcpPair()] {
            bench.ring.pollWritable(near.number, token: token(1))
            #expect(try bench.next().result == Int32(POLLOUT))
            let bytes = pattern(1 << 16)
            while send(near.number, bytes, bytes.count, Int32(MSG_DONTWAIT)) > 0 {}
            bench.ring.pollWritable(near.number, token: token(2))
            #expect(bench.turn().isEmpty)
            var completions: [Completion] = []
            while completions.isEmpty {
                _ = far.readNow()
                completions = bench.turn()
            }
            #expect(completions[0].result == Int32(POLLOUT))
        }
    }

    @Test(arguments: Kernel.usable)
    func pollTellsOfEndsUnasked(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (reader, writer) = makePipe()
        bench.ring.pollReadable(reader.number, token: token(1))
        #expect(bench.turn().isEmpty)
        writer.end()
        #expect(try bench.next().result & Int32(POLLHUP) != 0)

        let (other, full) = makePipe()
        let bytes = pattern(1 << 16)
        #expect(write(full.number, bytes, bytes.count) == bytes.count)
        bench.ring.pollWritable(full.number, token: token(2))
        #expect(bench.turn().isEmpty)
        other.end()
        #expect(try bench.next().result & Int32(POLLERR) != 0)
        bench.ring.pollReadable(19_999, token: token(3))
        #expect(try bench.next().result == -EBADF)
    }

    @Test(arguments: Kernel.usable)
    func pollIsNotFooledByBytesThatSpliceTook(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let port = bench.ring.port
        let (near, far) = tcpPair()
        var pipe: [Int32] = [0, 0]
        #expect(port.makePipe(port.context, &pipe, 1 << 16) >= 1 << 16)
        let (reader, writer) = (Owned(pipe[0]), Owned(pipe[1]))
        let (out, sink) = tcpPair()
        // splice(2) waits on a socket that is not marked.
        for socket in [near, out] { #expect(fcntl(socket.number, F_SETFL, O_RDWR | O_NONBLOCK) == 0) }
        var expected: [UInt8] = []
        var moved: [UInt8] = []
        for round in 0..<100 {
            bench.ring.pollReadable(near.number, token: token(1))
            if round % 3 == 0 { #expect(bench.turn().isEmpty) }
            let bytes = pattern(1 + round * 10, seed: UInt8(round))
            far.write(bytes)
            expected += bytes
            #expect(try bench.next().result == Int32(POLLIN))
            #expect(port.splice(port.context, near.number, writer.number, 1 << 16) == bytes.count)
            #expect(port.splice(port.context, near.number, writer.number, 1 << 16) == -Int(EAGAIN))
            #expect(port.splice(port.context, reader.number, out.number, 1 << 16) == bytes.count)
            while moved.count < expected.count { moved += sink.readNow() ?? [] }
        }
        #expect(moved == expected)
        far.end()
        bench.ring.pollReadable(near.number, token: token(1))
        #expect(try bench.next().result == Int32(POLLIN | POLLRDHUP))
        #expect(port.splice(port.context, near.number, writer.number, 1 << 16) == 0)
    }

    @Test(arguments: Kernel.usable)
    func cancelByToken(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        bench.ring.cancel(token(9), token: token(2))
        #expect(try bench.next().result == -ENOENT)
        bench.ring.cancel(token(1), token: token(3))
        let found = try bench.collect(2)
        #expect(found[3]?.result == 0)
        #expect(found[1]?.result == -ECANCELED && found[1]?.hasMore == false)
        bench.ring.cancel(token(1), token: token(4))
        #expect(try bench.next().result == -ENOENT)
        // What came in between is still there.
        far.write([5])
        bench.ring.receiveMultishot(near.number, group: 7, token: token(5))
        #expect(try bench.take(bench.next()) == [5])
    }

    @Test(arguments: Kernel.usable)
    func cancelFindsOneOfMany(_ kernel: Kernel) throws {
        let bench = try Bench(kernel, submissionEntries: 256, completionEntries: 4096)
        let pairs = (0..<50).map { _ in socketPair() }
        for (index, pair) in pairs.enumerated() {
            for kind in 0..<20 {
                bench.ring.pollReadable(pair.0.number, token: token(UInt64(index * 20 + kind)))
            }
        }
        #expect(bench.turn().isEmpty)
        for index in 0..<1000 {
            let target = UInt64((index * 617) % 1000)
            bench.ring.cancel(token(target), token: token(target + 10_000))
        }
        let found = try bench.collect(2000)
        for target in 0..<UInt64(1000) {
            #expect(found[target]?.result == -ECANCELED && found[target + 10_000]?.result == 0)
        }
    }

    @Test(arguments: Kernel.usable)
    func cancelAllEndsEverythingOnADescriptor(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        let (other, otherFar) = socketPair()
        bench.ring.receiveMultishot(near.number, group: 7, token: token(1))
        bench.ring.pollReadable(near.number, token: token(2))
        bench.ring.pollReadable(other.number, token: token(3))
        #expect(bench.turn().isEmpty)
        bench.ring.cancelAll(on: near.number, token: token(4))
        let found = try bench.collect(3)
        #expect(found[4]?.result == 2)
        #expect(found[1]?.result == -ECANCELED && found[2]?.result == -ECANCELED)
        bench.ring.cancelAll(on: near.number, token: token(5))
        #expect(try bench.next().result == 0)
        bench.ring.cancelAll(on: 19_999, token: token(6))
        #expect(try bench.next().result == -EBADF)
        otherFar.write([1])
        #expect(try bench.next().token == token(3))
        withExtendedLifetime(far) {}
    }

    @Test(arguments: Kernel.usable)
    func closeIsSilentUnlessItFails(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (near, far) = socketPair()
        bench.ring.close(near.giveUp(), token: token(1))
        #expect(bench.turn().isEmpty)
        #expect(far.readNow() == [])
        bench.ring.close(19_999, token: token(2))
        let completion = try bench.next()
        #expect(completion.token == token(2) && completion.result == -EBADF)
    }

    /// Puts a file under a number that nobody else in this process picks by chance.
    private func place(_ owned: Owned, at number: Int32) -> Owned {
        let placed = Owned(dup2(owned.number, number))
        owned.end()
        return placed
    }

    @Test(arguments: Kernel.usable)
    func aNumberServesManyFilesInTurn(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let number: Int32 = kernel == .real ? 1811 : 1812
        for round in 0..<40 {
            let (first, far) =
                round % 3 == 0
                ? tcpPair()
                : socketPair(kind: Int32((round % 3 == 1 ? SOCK_STREAM : SOCK_SEQPACKET).rawValue))
            let near = place(first, at: number)
            bench.ring.receiveMultishot(number, group: 7, token: token(UInt64(round)))
            #expect(bench.turn().isEmpty)
            for length in [1, 100] {
                far.write(pattern(length))
                far.write(pattern(length, seed: 1))
                var bytes: [UInt8] = []
                while bytes.count < 2 * length {
                    let completion = try bench.next()
                    #expect(completion.token == token(UInt64(round)) && completion.hasMore)
                    bytes += try bench.take(completion)
                }
                #expect(bytes == pattern(length) + pattern(length, seed: 1))
            }
            bench.ring.cancel(token(UInt64(round)), token: token(1000))
            _ = try bench.collect(2)
            // Every other time behind the ring's back, with a copy that keeps the old file alive.
            if round % 2 == 0 {
                bench.ring.close(near.giveUp(), token: token(2000))
                #expect(bench.turn().isEmpty)
            } else {
                let copy = Owned(dup(number))
                near.end()
                far.write([1])
                #expect(bench.turn().isEmpty)
                copy.end()
            }
        }
    }
}
