// The numbers that stand for a pool's backends in affinity cookies: from a backend to its number and back. Built
// with the snapshot; a request looks its cookie's number up.

/// Lives until `deallocate`.
@safe
public struct StickyIdentities: BitwiseCopyable, @unchecked Sendable {
    public let count: Int
    /// In the order of the backends.
    private let identities: UnsafePointer<UInt64>
    /// Indices of backends, by ascending number.
    private let order: UnsafePointer<UInt16>

    /// At most 65,535, in the order of the pool's candidates. Of equal ones the first is found.
    public init(_ identities: [UInt64]) {
        precondition(identities.count <= Int(UInt16.max))
        count = identities.count
        let order = identities.indices.sorted { (identities[$0], $0) < (identities[$1], $1) }
        unsafe self.identities = keep(identities)
        unsafe self.order = keep(order.map(UInt16.init))
    }

    /// Gives the memory back. Nobody may use a copy afterwards.
    public func deallocate() {
        unsafe identities.deallocate()
        unsafe order.deallocate()
    }

    /// Of the backend with this index.
    public subscript(index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return unsafe identities[index]
    }

    /// The backend with this number; nil where none has it.
    public func index(of identity: UInt64) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if unsafe identities[Int(order[middle])] < identity { low = middle + 1 } else { high = middle }
        }
        guard low < count else { return nil }
        let index = unsafe Int(order[low])
        return self[index] == identity ? index : nil
    }
}
