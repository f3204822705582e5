// Which block of addresses an address is in: longest prefix match (RFC 1812, 5.2.4.3) over IPv4 and IPv6. A node
// takes four bits and is one cache line of sixteen entries, so a lookup reads at most 8 lines for IPv4 and 32 for
// IPv6, whatever the number of blocks. Built once, of flat memory, then never changed.

/// A block of addresses (CIDR, RFC 4632) and what it stands for.
public struct AddressBlock: Sendable {
    /// The address in host byte order; IPv4 in the low 32 bits of `low`.
    public var high: UInt64
    public var low: UInt64
    public var isIPv6: Bool
    public var prefixLength: Int
    /// At least 1.
    public var value: UInt32

    public init(high: UInt64, low: UInt64, isIPv6: Bool, prefixLength: Int, value: UInt32) {
        self.high = high
        self.low = low
        self.isIPv6 = isIPv6
        self.prefixLength = prefixLength
        self.value = value
    }

    /// IPv4-mapped IPv6 (RFC 4291, 2.5.5.2) is IPv4: clients are told apart by the address that they have.
    fileprivate var unmapped: AddressBlock {
        guard isIPv6, prefixLength >= 96, high == 0, low >> 32 == 0xFFFF else { return self }
        return AddressBlock(
            high: 0, low: low & 0xFFFF_FFFF, isIPv6: false, prefixLength: prefixLength - 96, value: value)
    }
}

/// Lives until `deallocate`.
@safe public struct AddressTrie: BitwiseCopyable, @unchecked Sendable {
    private static let nodeEntries = 16
    private static let stride = 4
    /// An entry is the index of a node with this bit, or the value that stands for all addresses from here on.
    private static let isNode: UInt32 = 1 << 31

    private let entries: UnsafePointer<UInt32>
    /// Of memory.
    public let byteCount: Int
    public let isEmpty: Bool

    /// Of two equal blocks the later one counts. Bits beyond a block's prefix are ignored.
    public init(_ blocks: [AddressBlock]) {
        // The roots of IPv4 and IPv6 are nodes 0 and 1.
        var built = [UInt32](repeating: 0, count: 2 * Self.nodeEntries)
        // Short ones first: a longer one then only ever overwrites values.
        let ordered = blocks.map(\.unmapped).enumerated().sorted {
            ($0.element.prefixLength, $0.offset) < ($1.element.prefixLength, $1.offset)
        }
        for (_, block) in ordered { Self.insert(block, into: &built) }
        let memory = unsafe UnsafeMutableRawPointer.allocate(byteCount: built.count * 4, alignment: 64)
            .bindMemory(to: UInt32.self, capacity: built.count)
        unsafe memory.initialize(from: built, count: built.count)
        unsafe entries = UnsafePointer(memory)
        byteCount = built.count * 4
        isEmpty = blocks.isEmpty
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() { unsafe entries.deallocate() }

    private static func insert(_ block: AddressBlock, into entries: inout [UInt32]) {
        precondition(block.value > 0 && block.value & isNode == 0)
        var node = block.isIPv6 ? 1 : 0
        var depth = 0
        // Whole nodes above the one in which the prefix ends.
        while block.prefixLength > (depth + 1) * stride {
            let place = node * nodeEntries + part(block.high, block.low, block.isIPv6, depth)
            if entries[place] & isNode == 0 {
                let child = entries.count / nodeEntries
                entries += [UInt32](repeating: entries[place], count: nodeEntries)
                entries[place] = UInt32(child) | isNode
            }
            node = Int(entries[place] & ~isNode)
            depth += 1
        }
        let free = (depth + 1) * stride - block.prefixLength
        let first = part(block.high, block.low, block.isIPv6, depth) & ~((1 << free) - 1)
        for place in first..<first + (1 << free) { entries[node * nodeEntries + place] = block.value }
    }

    /// Four bits of an address, counted from its highest.
    @inline(__always)
    private static func part(_ high: UInt64, _ low: UInt64, _ isIPv6: Bool, _ depth: Int) -> Int {
        guard isIPv6 else { return Int(truncatingIfNeeded: low >> UInt64(28 - stride * depth)) & 15 }
        let half = depth < 16 ? high : low
        return Int(truncatingIfNeeded: half >> UInt64(60 - stride * (depth & 15))) & 15
    }

    /// The value of the longest block that the address is in; 0 where it is in none. IPv4 is in the low 32 bits of
    /// `low`.
    public func value(high: UInt64, low: UInt64, isIPv6: Bool) -> UInt32 {
        if isIPv6, high == 0, low >> 32 == 0xFFFF { return walk(0, low & 0xFFFF_FFFF, false) }
        return walk(high, low, isIPv6)
    }

    private func walk(_ high: UInt64, _ low: UInt64, _ isIPv6: Bool) -> UInt32 {
        var entry = isIPv6 ? Self.isNode | 1 : Self.isNode
        var depth = 0
        while entry & Self.isNode != 0 {
            let node = Int(entry & ~Self.isNode)
            entry = unsafe entries[node * Self.nodeEntries + Self.part(high, low, isIPv6, depth)]
            depth += 1
        }
        return entry
    }
}
