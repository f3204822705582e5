// Operations that could not complete when they were submitted: a table of records with a free list, found by
// token for cancelling, linked into their descriptor's list by the descriptor table, and into a run list
// while they have work to do without waiting. An operation that completes at once never comes here.

import Base
import CLiburing

/// What an operation waits for.
enum Readiness: UInt8 {
    case readable, writable
    /// A poll: any event may be the one.
    case any
}

/// One submitted operation, decoded.
struct Operation: BitwiseCopyable {
    enum Kind: UInt8 {
        case accept, connect, receive, send, poll, read, write
    }
    /// Which run list the record is in.
    enum Queue: UInt8 {
        case none, ready, stalled
    }

    var token: UInt64 = 0
    var kind: Kind
    var descriptor: Int32
    var isMultishot = false
    /// A success is not to be posted.
    var skipsSuccess = false
    /// Receives take a buffer of `group`.
    var selectsBuffer = false
    /// Connects: connect(2) has answered EINPROGRESS.
    var isInProgress = false
    /// Connects: `address` points at a copy of the peer's address that this record owns.
    var ownsAddress = false
    var queue = Queue.none
    var group: UInt16 = 0
    var readiness = Readiness.any
    /// Accept flags, message flags or poll events.
    var flags: UInt32 = 0
    /// Bytes to move; the address' length for connects.
    var length: UInt32 = 0
    /// Bytes that are sent already.
    var transferred: UInt32 = 0
    var address: UInt64 = 0
    /// The file position for reads and writes, all ones for the descriptor's own; a second address for accepts.
    var offset: UInt64 = 0

    // Links are record numbers plus one; 0 ends a list.
    var nextOfDescriptor: UInt32 = 0
    var previousOfDescriptor: UInt32 = 0
    var nextInQueue: UInt32 = 0
    var previousInQueue: UInt32 = 0
    /// Also the free list.
    var nextInBucket: UInt32 = 0

    init(kind: Kind, descriptor: Int32) {
        self.kind = kind
        self.descriptor = descriptor
    }
}

/// A list of records that run without waiting for an event.
struct RunList: BitwiseCopyable {
    /// Record number plus one; 0 when empty.
    var first: UInt32 = 0
    var last: UInt32 = 0
    var count = 0

    fileprivate mutating func append(_ number: UInt32, _ records: borrowing PagedTable<Operation>) {
        let record = records[Int(number)]
        record.pointee.previousInQueue = last
        record.pointee.nextInQueue = 0
        if last != 0 {
            records[Int(last - 1)].pointee.nextInQueue = number + 1
        } else {
            first = number + 1
        }
        last = number + 1
        count += 1
    }

    fileprivate mutating func unlink(_ number: UInt32, _ records: borrowing PagedTable<Operation>) {
        let record = records[Int(number)].pointee
        if record.previousInQueue != 0 {
            records[Int(record.previousInQueue - 1)].pointee.nextInQueue = record.nextInQueue
        } else {
            first = record.nextInQueue
        }
        if record.nextInQueue != 0 {
            records[Int(record.nextInQueue - 1)].pointee.previousInQueue = record.previousInQueue
        } else {
            last = record.previousInQueue
        }
        count -= 1
    }
}

struct Operations: ~Copyable {
    private var records = PagedTable<Operation>(capacity: 256)
    /// First record of each bucket plus one; as many buckets as records.
    private var buckets = PagedTable<UInt32>(capacity: 256)
    private var firstFree: UInt32 = 0
    private var untouched: UInt32 = 0
    /// How many operations are in flight.
    private(set) var count = 0
    /// Operations that stopped for fairness, not for want of readiness.
    private(set) var ready = RunList()
    /// Operations that must be tried again after a while: nothing tells when they could go on.
    private(set) var stalled = RunList()

    /// The record in place, until the next `add`.
    @inline(__always)
    subscript(number: UInt32) -> UnsafeMutablePointer<Operation> { records[Int(number)] }

    /// Keeps an operation; answers its record's number.
    mutating func add(_ operation: Operation) -> UInt32 {
        let number: UInt32
        if firstFree != 0 {
            number = firstFree - 1
            firstFree = records[Int(number)].pointee.nextInBucket
        } else {
            number = untouched
            untouched += 1
            if Int(number) == records.capacity { growTables() }
        }
        records[Int(number)].pointee = operation
        linkIntoBucket(number)
        count += 1
        return number
    }

    /// Frees a record that is in no descriptor's list any more.
    mutating func remove(_ number: UInt32) {
        dequeue(number)
        unlinkFromBucket(number)
        records[Int(number)].pointee.nextInBucket = firstFree
        firstFree = number + 1
        count -= 1
    }

    /// The operation that was submitted last with `token`; nil where none is in flight.
    func find(token: UInt64) -> UInt32? {
        var link = buckets[bucket(of: token)].pointee
        while link != 0 {
            let record = records[Int(link - 1)]
            if record.pointee.token == token { return link - 1 }
            link = record.pointee.nextInBucket
        }
        return nil
    }

    /// How many operations in flight carry `token`.
    func count(token: UInt64) -> Int32 {
        var count: Int32 = 0
        var link = buckets[bucket(of: token)].pointee
        while link != 0 {
            let record = records[Int(link - 1)]
            if record.pointee.token == token { count += 1 }
            link = record.pointee.nextInBucket
        }
        return count
    }

    /// Calls `body` with each operation in flight, in no particular order.
    func forEach(_ body: (UInt32) -> Void) {
        for index in 0..<buckets.capacity {
            var link = buckets[index].pointee
            while link != 0 {
                let next = records[Int(link - 1)].pointee.nextInBucket
                body(link - 1)
                link = next
            }
        }
    }

    // MARK: Run lists

    /// Puts the record at the end of a run list unless it is in it already.
    mutating func enqueue(_ number: UInt32, in queue: Operation.Queue) {
        if records[Int(number)].pointee.queue == queue { return }
        dequeue(number)
        switch queue {
        case .none: break
        case .ready: ready.append(number, records)
        case .stalled: stalled.append(number, records)
        }
        records[Int(number)].pointee.queue = queue
    }

    /// Takes the record out of the run list that it is in, if any.
    @inline(__always)
    mutating func dequeue(_ number: UInt32) {
        switch records[Int(number)].pointee.queue {
        case .none: return
        case .ready: ready.unlink(number, records)
        case .stalled: stalled.unlink(number, records)
        }
        records[Int(number)].pointee.queue = .none
    }

    // MARK: Buckets

    @inline(__always)
    private func bucket(of token: UInt64) -> Int {
        Int(truncatingIfNeeded: (token &* 0x9E37_79B9_7F4A_7C15) >> 32) & (buckets.capacity - 1)
    }

    private func linkIntoBucket(_ number: UInt32) {
        let record = records[Int(number)]
        let bucket = buckets[bucket(of: record.pointee.token)]
        record.pointee.nextInBucket = bucket.pointee
        bucket.pointee = number + 1
    }

    private func unlinkFromBucket(_ number: UInt32) {
        let record = records[Int(number)]
        var link = buckets[bucket(of: record.pointee.token)]
        while link.pointee != number + 1 {
            precondition(link.pointee != 0, "an operation is freed once")
            let other = UnsafeMutableRawPointer(records[Int(link.pointee - 1)])
            link = (other + MemoryLayout<Operation>.offset(of: \Operation.nextInBucket)!)
                .assumingMemoryBound(to: UInt32.self)
        }
        link.pointee = record.pointee.nextInBucket
    }

    /// Doubles both tables and spreads the records, all of them in flight, over the new buckets.
    @inline(never)
    private mutating func growTables() {
        let inFlight = records.capacity
        records.grow(toHold: inFlight)
        buckets.grow(toHold: inFlight)
        for index in 0..<buckets.capacity { buckets[index].pointee = 0 }
        for number in 0..<inFlight { linkIntoBucket(UInt32(number)) }
    }
}
