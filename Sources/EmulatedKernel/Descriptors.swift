// What the emulated kernel knows of each descriptor: whether epoll tells of its edges, which operations wait
// on it, and how its reads may be cut short. A table indexed by descriptor number.
//
// Numbers are used again, and the worker also closes descriptors behind this table's back (pipes). Two rules
// make that harmless. While an operation waits, the descriptor stays open (the caller guarantees it), so what
// the table says holds. When none waits, nothing is believed: the first operation that must wait asks epoll
// anew, which answers ENOENT where the number names another file by now.

import Base
import CLiburing
import Glibc

struct Descriptors: ~Copyable {
    struct Entry: BitwiseCopyable {
        /// First waiting operation plus one; 0 when none waits.
        var firstOperation: UInt32
        /// Counts the files that had this number, so that an event for an earlier one is told apart.
        var generation: UInt32
        /// The file is in the epoll set, unless it was closed since.
        var isRegistered: Bool
        /// The end, an error or urgent data was seen: a short read does not mean that no edge is outstanding.
        var readsUntilEmpty: Bool
        var transport: Transport
    }

    enum Transport: UInt8 {
        case unknown, tcp, other
    }

    /// Edges of everything that poll(2) knows, so that one registration serves every operation.
    private static let interest =
        EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLPRI.rawValue | EPOLLRDHUP.rawValue
        | EPOLLRDNORM.rawValue | EPOLLRDBAND.rawValue | EPOLLWRNORM.rawValue | EPOLLWRBAND.rawValue
        | EPOLLET.rawValue

    private let epoll: Int32
    private var entries = PagedTable<Entry>(capacity: 1024)

    /// `epoll` stays the caller's to close.
    init(epoll: Int32) { self.epoll = epoll }

    /// The entry of a number that is known to be in range (an operation waits on it, or an event named it).
    @inline(__always)
    subscript(descriptor: Int32) -> UnsafeMutablePointer<Entry> { entries[Int(descriptor)] }

    /// The first waiting operation plus one; 0 where none waits.
    @inline(__always)
    func firstOperation(on descriptor: Int32) -> UInt32 {
        contains(descriptor) ? entries[Int(descriptor)].pointee.firstOperation : 0
    }

    @inline(__always)
    private func contains(_ descriptor: Int32) -> Bool {
        descriptor >= 0 && Int(descriptor) < entries.capacity
    }

    /// Sees to it that the next edge of an open descriptor is told, and its readiness at this moment too
    /// where no operation waits on it yet. Answers 0, or what epoll_ctl refused with.
    mutating func watch(_ descriptor: Int32) -> Int32 {
        if !contains(descriptor) { entries.grow(toHold: Int(descriptor)) }
        let entry = entries[Int(descriptor)]
        if entry.pointee.isRegistered {
            if entry.pointee.firstOperation != 0 { return 0 }
            let result = control(EPOLL_CTL_MOD, descriptor)
            if result != -ENOENT { return result }
            forget(descriptor)
        }
        var result = control(EPOLL_CTL_ADD, descriptor)
        // The same file was here before, was closed under this number and lived on under another.
        if result == -EEXIST { result = control(EPOLL_CTL_MOD, descriptor) }
        entry.pointee.isRegistered = result == 0
        return result
    }

    /// Takes the descriptor out of the epoll set: for listeners, whose file lives on in other processes and
    /// would go on waking this one.
    mutating func unwatch(_ descriptor: Int32) {
        guard entries[Int(descriptor)].pointee.isRegistered else { return }
        _ = control(EPOLL_CTL_DEL, descriptor)
        entries[Int(descriptor)].pointee.isRegistered = false
    }

    private func control(_ operation: Int32, _ descriptor: Int32) -> Int32 {
        var event = epoll_event()
        event.events = Self.interest
        event.data.u64 =
            UInt64(entries[Int(descriptor)].pointee.generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
        return epoll_ctl(epoll, operation, descriptor, &event) == 0 ? 0 : -errno
    }

    /// The number is free for another file. No operation may wait on it.
    func forget(_ descriptor: Int32) {
        guard contains(descriptor) else { return }
        let entry = entries[Int(descriptor)]
        precondition(entry.pointee.firstOperation == 0, "nothing waits on a descriptor that is closed")
        entry.pointee = Entry(
            firstOperation: 0, generation: entry.pointee.generation &+ 1, isRegistered: false,
            readsUntilEmpty: false, transport: .unknown)
    }

    /// The descriptor that an event is about; nil for an event of a file that had its number earlier.
    @inline(__always)
    func descriptor(of event: epoll_event) -> Int32? {
        let descriptor = Int32(truncatingIfNeeded: event.data.u64)
        let generation = UInt32(truncatingIfNeeded: event.data.u64 >> 32)
        guard contains(descriptor), entries[Int(descriptor)].pointee.generation == generation else {
            return nil
        }
        return descriptor
    }

    /// True where a read that did not fill its buffer has emptied the socket, so that the next bytes come
    /// with an edge of their own and no further read is needed to see that there are none: TCP whose end
    /// was not seen.
    @inline(__always)
    mutating func shortReadEmpties(_ descriptor: Int32) -> Bool {
        if !contains(descriptor) { entries.grow(toHold: Int(descriptor)) }
        let entry = entries[Int(descriptor)]
        if entry.pointee.transport == .unknown { entry.pointee.transport = transport(of: descriptor) }
        return entry.pointee.transport == .tcp && !entry.pointee.readsUntilEmpty
    }

    @inline(never)
    private func transport(of descriptor: Int32) -> Transport {
        var protocolNumber: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        let result = getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocolNumber, &length)
        return result == 0 && protocolNumber == Int32(IPPROTO_TCP) ? .tcp : .other
    }

    // MARK: Waiting operations

    /// Links a record into its descriptor's list.
    @inline(__always)
    func link(_ number: UInt32, _ operations: borrowing Operations) {
        let record = operations[number]
        let entry = entries[Int(record.pointee.descriptor)]
        record.pointee.previousOfDescriptor = 0
        record.pointee.nextOfDescriptor = entry.pointee.firstOperation
        if entry.pointee.firstOperation != 0 {
            operations[entry.pointee.firstOperation - 1].pointee.previousOfDescriptor = number + 1
        }
        entry.pointee.firstOperation = number + 1
    }

    /// Takes a record out of its descriptor's list.
    @inline(__always)
    func unlink(_ number: UInt32, _ operations: borrowing Operations) {
        let record = operations[number].pointee
        if record.previousOfDescriptor != 0 {
            operations[record.previousOfDescriptor - 1].pointee.nextOfDescriptor = record.nextOfDescriptor
        } else {
            entries[Int(record.descriptor)].pointee.firstOperation = record.nextOfDescriptor
        }
        if record.nextOfDescriptor != 0 {
            operations[record.nextOfDescriptor - 1].pointee.previousOfDescriptor =
                record.previousOfDescriptor
        }
    }
}
