// The buffer rings that the worker registered: which memory they are in and how far the emulated kernel has
// taken from them. Receives take from here.

import CLiburing
import Glibc

/// A provided buffer that may be taken.
struct ProvidedBuffer: BitwiseCopyable {
    var address: UInt64
    var lengthBytes: UInt32
    var identifier: UInt16
    /// Its group's place in the table.
    var place: Int
}

struct BufferGroups: ~Copyable {
    private struct Group: BitwiseCopyable {
        /// The ring's memory; 0 when the place is free. The first entry's reserved field is the ring's tail.
        var entries: UInt
        var mask: UInt16
        var head: UInt16
        var identifier: UInt16
    }

    /// One worker needs one or two.
    private static let limit = 64
    private let groups: UnsafeMutablePointer<Group>
    private var count = 0

    init() {
        groups = .allocate(capacity: Self.limit)
        groups.initialize(
            repeating: Group(entries: 0, mask: 0, head: 0, identifier: 0), count: Self.limit)
    }

    deinit { groups.deallocate() }

    /// IORING_REGISTER_PBUF_RING: 0 or a negative errno.
    mutating func register(_ registration: io_uring_buf_reg) -> Int32 {
        let entries = registration.ring_entries
        guard registration.ring_addr != 0, registration.ring_addr & 4095 == 0,
            entries > 0, entries < 65_536, entries & (entries - 1) == 0
        else { return -EINVAL }
        if find(registration.bgid) != nil { return -EEXIST }
        guard count < Self.limit else { return -ENOMEM }
        groups[count] = Group(
            entries: UInt(registration.ring_addr), mask: UInt16(entries - 1), head: 0,
            identifier: registration.bgid)
        count += 1
        return 0
    }

    /// The next buffer of a group, which `take` then takes; nil when the group is empty or not known.
    @inline(__always)
    func next(of identifier: UInt16) -> ProvidedBuffer? {
        guard let index = find(identifier) else { return nil }
        let group = groups[index]
        let entries = UnsafePointer<io_uring_buf>(bitPattern: group.entries)!
        let tail = entries[0].resv
        if tail == group.head { return nil }
        let entry = entries[Int(group.head & group.mask)]
        return ProvidedBuffer(
            address: entry.addr, lengthBytes: entry.len, identifier: entry.bid, place: index)
    }

    /// Takes a buffer that `next` showed just now.
    @inline(__always)
    func take(_ buffer: ProvidedBuffer) { groups[buffer.place].head &+= 1 }

    @inline(__always)
    private func find(_ identifier: UInt16) -> Int? {
        for index in 0..<count where groups[index].identifier == identifier { return index }
        return nil
    }
}
