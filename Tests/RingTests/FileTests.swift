// Reading and writing what is not a connection: eventfd, pipes, files, terminals, on each kernel.

import CLinux
import Glibc
import Ring
import Testing

@Suite struct FileTests {
    /// Memory for one read or write.
    private final class Memory {
        let bytes: UnsafeMutableRawBufferPointer
        init(_ count: Int) {
            bytes = .allocate(byteCount: count, alignment: 8)
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
        }
        convenience init(_ initial: [UInt8]) {
            self.init(initial.count)
            bytes.copyBytes(from: initial)
        }
        deinit { bytes.deallocate() }
        func prefix(_ count: Int32) -> [UInt8] { Array(bytes.prefix(Int(count))) }
        var address: UnsafeMutableRawPointer { bytes.baseAddress! }
    }

    @Test(arguments: Kernel.usable)
    func anotherThreadWakesTheRingThroughAnEventDescriptor(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        for flags in [0, Int32(EFD_NONBLOCK)] {
            let wake = Owned(eventfd(0, flags))
            let number = wake.number
            let memory = Memory(8)
            for round in 1...20 {
                bench.ring.read(number, into: memory.address, count: 8, token: token(1))
                if round % 2 == 0 { #expect(bench.turn().isEmpty) }
                let other = OtherThread { eventfd_write(number, UInt64(round)) }
                #expect(bench.ring.submitAndWait(timeoutNanoseconds: .max) >= 0)
                let completion = try bench.next()
                #expect(completion.result == 8)
                #expect(memory.bytes.load(as: UInt64.self) == UInt64(round))
                other.join()
            }
        }
    }

    @Test(arguments: Kernel.usable)
    func readsAndWritesOfAFileMoveItsPosition(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let file = temporaryFile()
        let lines = [pattern(10), pattern(20_000, seed: 3), pattern(5, seed: 9)]
        for line in lines {
            let memory = Memory(line)
            bench.ring.write(file.number, memory.address, count: line.count, token: token(1))
            #expect(try Int(bench.next().result) == line.count)
        }
        #expect(lseek(file.number, 0, SEEK_SET) == 0)
        let memory = Memory(30_000)
        bench.ring.read(file.number, into: memory.address, count: 30_000, token: token(2))
        let completion = try bench.next()
        #expect(memory.prefix(completion.result) == Array(lines.joined()))
        bench.ring.read(file.number, into: memory.address, count: 10, token: token(3))
        #expect(try bench.next().result == 0)
        bench.ring.write(19_999, memory.address, count: 10, token: token(4))
        #expect(try bench.next().result == -EBADF)
        let readOnly = Owned(open("/dev/null", O_RDONLY))
        bench.ring.write(readOnly.number, memory.address, count: 10, token: token(5))
        #expect(try bench.next().result == -EBADF)
    }

    @Test(arguments: Kernel.usable)
    func aPipeIsReadAndWritten(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (reader, writer) = makePipe()
        let memory = Memory(100)
        let line = Memory(pattern(10))
        bench.ring.read(reader.number, into: memory.address, count: 100, token: token(1))
        #expect(bench.turn().isEmpty)
        bench.ring.write(writer.number, line.address, count: 10, token: token(2))
        let found = try bench.collect(2)
        #expect(found[2]?.result == 10 && found[1]?.result == 10)
        #expect(memory.prefix(10) == pattern(10))
        bench.ring.read(reader.number, into: memory.address, count: 100, token: token(3))
        #expect(bench.turn().isEmpty)
        writer.end()
        #expect(try bench.next().result == 0)
    }

    @Test(arguments: Kernel.usable)
    func aFullPipeHoldsUpTheWriteAndNotTheThread(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (reader, writer) = makePipe()
        let filler = pattern(1 << 16)
        #expect(write(writer.number, filler, filler.count) == filler.count)
        let line = Memory(pattern(10))
        bench.ring.write(writer.number, line.address, count: 10, token: token(1))
        #expect(bench.turn().isEmpty)
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        #expect(read(reader.number, &bytes, bytes.count) == bytes.count)
        #expect(try bench.next().result == 10)
        #expect(read(reader.number, &bytes, bytes.count) == 10)
        reader.end()
        bench.ring.write(writer.number, line.address, count: 10, token: token(2))
        #expect(try bench.next().result == -EPIPE)
    }

    @Test(arguments: Kernel.usable)
    func aTerminalIsReadAndWritten(_ kernel: Kernel) throws {
        let bench = try Bench(kernel)
        let (master, slave) = terminal()
        let memory = Memory(100)
        bench.ring.read(slave.number, into: memory.address, count: 100, token: token(1))
        #expect(bench.turn().isEmpty)
        let typed = Array("word\n".utf8)
        #expect(write(master.number, typed, typed.count) == typed.count)
        let completion = try bench.next()
        #expect(memory.prefix(completion.result) == typed)
        let line = Memory(Array("answer\n".utf8))
        bench.ring.write(slave.number, line.address, count: 7, token: token(2))
        #expect(try bench.next().result == 7)
    }
}
