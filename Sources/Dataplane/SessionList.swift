// Where a worker writes down some of its sessions for somebody who asked. Its table is its own, so another thread asks,
// wakes it, and waits; the worker looks at a bounded part of the table for each question (SessionListing.swift), and whoever
// wants the rest asks again from where it stopped.
//
//   free -> (ask, wake) -> asked -> (the worker) -> answered -> (read) -> (ask, wake) -> ...

import Base
import Glibc
import Synchronization
import Telemetry

/// Which sessions are wanted; all that is given must hold.
public struct SessionFilter: Sendable {
    public enum Name: Int, CaseIterable, Sendable {
        case listener, pool, backend
    }

    /// By `Name`; nil for any.
    fileprivate var names: [String?] = [nil, nil, nil]
    fileprivate var client: ClientFilter?

    public init() {}

    public subscript(_ name: Name) -> String? {
        get { names[name.rawValue] }
        set { names[name.rawValue] = newValue }
    }

    /// Only clients in this block of addresses: 4 or 16 octets in network byte order.
    public mutating func setClient(octets: [UInt8], prefixLength: Int) {
        client = ClientFilter(octets, prefixLength)
    }
}

/// A block of addresses.
struct ClientFilter: BitwiseCopyable {
    private var family: ClientAddress.Family
    private var high: UInt64 = 0
    private var low: UInt64 = 0
    private var highMask: UInt64 = 0
    private var lowMask: UInt64 = 0

    fileprivate init(_ octets: [UInt8], _ prefixLength: Int) {
        precondition(octets.count == 4 || octets.count == 16)
        family = octets.count == 4 ? .ipv4 : .ipv6
        // IPv4 in the low 32 bits, as `ClientAddress` has it.
        for octet in octets { (high, low) = (high << 8 | low >> 56, low << 8 | UInt64(octet)) }
        for bit in 0..<octets.count * 8 {
            (highMask, lowMask) = (highMask << 1 | lowMask >> 63, lowMask << 1 | (bit < prefixLength ? 1 : 0))
        }
    }

    func contains(_ client: ClientAddress) -> Bool {
        client.family == family && (client.high ^ high) & highMask == 0 && (client.low ^ low) & lowMask == 0
    }
}

/// One question and its answer, of one worker. Lives as long as the process: a worker that answers too late must not
/// write into what is another's by then.
public struct SessionList: BitwiseCopyable, @unchecked Sendable {
    private enum State: UInt8, AtomicRepresentable {
        /// The asker's: nothing was asked, or all of the answer is there.
        case free
        /// The worker's.
        case asked
    }

    private struct Board: ~Copyable {
        let state = Atomic<State>(.free)
        var firstSlot: UInt32 = 0
        var wanted = 0
        var client: ClientFilter?
        /// Bytes of each name by `SessionFilter.Name`, plus one; 0 for any.
        var nameLengths = InlineArray<3, UInt16>(repeating: 0)
        var answer = Answer()
    }

    /// What one look at a part of the table came to.
    public struct Answer: BitwiseCopyable, Sendable {
        /// Where to go on; nil where all were looked at.
        public internal(set) var nextSlot: UInt32?
        /// Sessions in this part that match.
        public internal(set) var matched = 0
        /// Of those that were written down.
        var byteCount = 0
    }

    /// Names in a configuration are no longer: those of backends may be as long as addresses are.
    static let nameLimitBytes = 255
    private static let namesBytes = 3 * nameLimitBytes
    private static let recordsBytes = 64 * 1024
    /// More than a session can take, with every octet of its path escaped.
    static let sessionLimitBytes = 16 * 1024
    /// Before each record: when the session was accepted, and how long the record is.
    private static let headBytes = 16

    private let board: UnsafeMutablePointer<Board>
    /// Names that are asked for, then records. Resident once somebody has asked.
    private let memory: UnsafeMutableRawPointer

    public init() {
        board = .allocate(capacity: 1)
        board.initialize(to: Board())
        memory = PagedMemory.reserve(byteCount: Self.namesBytes + Self.recordsBytes)
    }

    /// Nobody asks and no worker answers any more.
    public func deallocate() {
        board.deinitialize(count: 1)
        board.deallocate()
        PagedMemory.release(memory, byteCount: Self.namesBytes + Self.recordsBytes)
    }

    /// Bytes that one takes.
    static var byteCount: Int { namesBytes + recordsBytes }

    // MARK: - The asker

    /// The worker has answered what was asked last, or was never asked: it may be asked, and the answer read.
    public var isFree: Bool { board.pointee.state.load(ordering: .acquiring) == .free }

    /// Asks for at most `wanted` sessions from a slot on. Call it only while `isFree`; wake the worker afterwards.
    public func ask(_ filter: SessionFilter, from slot: UInt32, wanted: Int) {
        precondition(isFree)
        board.pointee.firstSlot = slot
        board.pointee.wanted = wanted
        board.pointee.client = filter.client
        for (index, name) in filter.names.enumerated() {
            // A name that is too long is nobody's; cut, it still is.
            let octets = name.map { Array($0.utf8.prefix(Self.nameLimitBytes + 1)) } ?? []
            board.pointee.nameLengths[index] = name == nil ? 0 : UInt16(octets.count + 1)
            (memory + index * Self.nameLimitBytes)
                .copyMemory(from: octets, byteCount: min(octets.count, Self.nameLimitBytes))
        }
        board.pointee.state.store(.asked, ordering: .releasing)
    }

    /// What was answered, while `isFree`. `each` gets a session's JSON, without an end of line, and when it was accepted
    /// (nanoseconds of the workers' clock).
    public func read(each: (UnsafeRawBufferPointer, UInt64) -> Void) -> Answer {
        precondition(isFree)
        let answer = board.pointee.answer
        var place = UnsafeRawPointer(records)
        let end = place + answer.byteCount
        while place < end {
            let acceptedAt = place.loadUnaligned(as: UInt64.self)
            let count = Int(place.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            place += Self.headBytes
            // Records end as lines do.
            each(UnsafeRawBufferPointer(start: place, count: count - 1), acceptedAt)
            place += count
        }
        return answer
    }

    // MARK: - The worker

    var isAsked: Bool { board.pointee.state.load(ordering: .acquiring) == .asked }

    var firstSlot: UInt32 { board.pointee.firstSlot }

    var wanted: Int { board.pointee.wanted }

    var client: ClientFilter? { board.pointee.client }

    /// Whether a name is the one that is asked for; any is, where none is asked for.
    func matches(_ part: SessionFilter.Name, _ name: UnsafeRawBufferPointer) -> Bool {
        let length = Int(board.pointee.nameLengths[part.rawValue])
        if length == 0 { return true }
        guard name.count == length - 1, name.count <= Self.nameLimitBytes else { return false }
        return name.count == 0
            || memcmp(name.baseAddress!, memory + part.rawValue * Self.nameLimitBytes, name.count) == 0
    }

    func asks(for part: SessionFilter.Name) -> Bool { board.pointee.nameLengths[part.rawValue] > 0 }

    func hasRoom(behind byteCount: Int) -> Bool {
        Self.recordsBytes - byteCount >= Self.headBytes + Self.sessionLimitBytes
    }

    /// Where a record may be written behind others: `sessionLimitBytes` of room, while `hasRoom`.
    func place(behind byteCount: Int) -> UnsafeMutableRawPointer { records + byteCount + Self.headBytes }

    /// Keeps the record that was written at `place`; answers how many bytes there are now.
    func keep(behind byteCount: Int, recordBytes: Int, acceptedAt: UInt64) -> Int {
        // One that did not fit.
        if recordBytes == 0 { return byteCount }
        records.storeBytes(of: acceptedAt, toByteOffset: byteCount, as: UInt64.self)
        records.storeBytes(of: UInt64(recordBytes), toByteOffset: byteCount + 8, as: UInt64.self)
        return byteCount + Self.headBytes + recordBytes
    }

    func answer(_ answer: Answer) {
        board.pointee.answer = answer
        board.pointee.state.store(.free, ordering: .releasing)
    }

    private var records: UnsafeMutableRawPointer { memory + Self.namesBytes }
}
