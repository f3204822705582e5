// One ring on one kernel with its receive buffers, and the few steps that every behaviour test takes. The
// tests run on each kernel that this host allows; they wait for completions, never for time.

import EmulatedKernel
import Glibc
import Ring
import Testing

/// The kernels that behaviours are held on.
enum Kernel: String, CaseIterable, CustomTestStringConvertible {
    case real, emulated

    var testDescription: String { rawValue }

    /// The errno with which the host refuses io_uring, nil where it allows it.
    static let realRefusal: Int32? = {
        do throws(RingSetUpError) {
            _ = try Ring(port: .real, submissionEntries: 4, completionEntries: 8)
            return nil
        } catch {
            return error.errno
        }
    }()

    /// The emulated one always, the real one where the host allows io_uring: RealKernelTests say which.
    static let usable: [Kernel] = realRefusal == nil ? allCases : [.emulated]
}

struct NothingCame: Error {}

final class Bench {
    // The ring goes first: the buffers are the kernel's until then.
    let ring: Ring
    var buffers: BufferRing

    init(
        _ kernel: Kernel, submissionEntries: UInt32 = 64, completionEntries: UInt32 = 128,
        bufferCount: Int = 16, bufferSizeBytes: Int = 4096
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        // The emulated kernel lives until its ring is set up, and from there on by itself.
        let emulated = EmulatedKernel()
        defer { withExtendedLifetime(emulated) {} }
        ring = try Ring(
            port: kernel == .real ? .real : emulated.port, submissionEntries: submissionEntries,
            completionEntries: completionEntries)
        buffers = try BufferRing(
            ring: ring, group: 7, limit: bufferCount, bufferSizeBytes: bufferSizeBytes)
    }

    /// Submits, and answers what is there without waiting.
    func turn() -> [Completion] {
        #expect(ring.submitAndWait(timeoutNanoseconds: 0) >= 0)
        return reap()
    }

    private func reap() -> [Completion] {
        let (first, count) = ring.pending()
        let completions = (0..<count).map { ring.completion(at: first &+ $0) }
        ring.consume(count)
        return completions
    }

    /// The next completion; throws after five seconds without one.
    func next() throws -> Completion {
        for _ in 0..<50 {
            let (first, count) = ring.pending()
            if count > 0 {
                let completion = ring.completion(at: first)
                ring.consume(1)
                return completion
            }
            #expect(ring.submitAndWait(timeoutNanoseconds: 100_000_000) >= 0)
        }
        throw NothingCame()
    }

    /// The next `count` completions, by token.
    func collect(_ count: Int) throws -> [UInt64: Completion] {
        var found: [UInt64: Completion] = [:]
        for _ in 0..<count {
            let completion = try next()
            #expect(found.updateValue(completion, forKey: completion.token.bits) == nil)
        }
        return found
    }

    /// Copies a receive's bytes out and keeps its buffer, so that the kernel may not fill it again.
    func keep(_ completion: Completion) throws -> [UInt8] {
        let buffer = try #require(completion.buffer)
        buffers.take(buffer, length: UInt32(completion.result))
        return [UInt8](
            UnsafeRawBufferPointer(start: buffers.bytes(buffer), count: Int(completion.result)))
    }

    /// Copies a receive's bytes out and gives its buffer back.
    func take(_ completion: Completion) throws -> [UInt8] {
        let bytes = try keep(completion)
        giveBack(completion)
        return bytes
    }

    func giveBack(_ completion: Completion) {
        buffers.giveBack(completion.buffer!)
        buffers.publish()
    }

    /// Receives on `descriptor` until `count` bytes or its end have come, arming again as often as needed.
    func receive(_ descriptor: Int32, count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        ring.receiveMultishot(descriptor, group: 7, token: Token(bits: 0xFEED))
        while bytes.count < count {
            let completion = try next()
            guard completion.token.bits == 0xFEED else { continue }
            if completion.result == 0 { return bytes }
            if completion.result > 0 { bytes += try take(completion) }
            #expect(completion.result > 0 || completion.result == -ENOBUFS)
            if !completion.hasMore {
                ring.receiveMultishot(descriptor, group: 7, token: Token(bits: 0xFEED))
            }
        }
        return bytes
    }
}

func token(_ number: UInt64) -> Token { Token(bits: number) }
