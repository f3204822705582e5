// The bytes of every stream follow from the connection and the position alone, so that nobody stores them and
// yet each one that the worker sends can be compared with what it must be.

import Glibc

/// A table of pseudo-random bytes; a stream starts somewhere in it and goes round. The period is a prime, so
/// that no buffer size divides it.
public struct Pattern: ~Copyable {
    private static let period = 32_749
    private let table: UnsafeMutablePointer<UInt8>

    public init() {
        table = .allocate(capacity: 2 * Self.period)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for index in 0..<Self.period {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            table[index] = UInt8(truncatingIfNeeded: state >> 32)
            table[index + Self.period] = table[index]
        }
    }

    deinit { table.deallocate() }

    private func start(_ connection: Int32, _ position: UInt64) -> Int {
        Int((UInt64(UInt32(bitPattern: connection)) &* 7919 &+ position) % UInt64(Self.period))
    }

    /// Writes the bytes that the peer of `connection` sent from `position` on.
    public func fill(_ memory: UnsafeMutableRawPointer, count: Int, of connection: Int32, at position: UInt64)
    {
        var done = 0
        while done < count {
            let piece = min(count - done, Self.period)
            memcpy(memory + done, table + start(connection, position + UInt64(done)), piece)
            done += piece
        }
    }

    /// True where `memory` holds just those bytes.
    public func matches(_ memory: UnsafeRawPointer, count: Int, of connection: Int32, at position: UInt64)
        -> Bool
    {
        var done = 0
        while done < count {
            let piece = min(count - done, Self.period)
            if memcmp(memory + done, table + start(connection, position + UInt64(done)), piece) != 0 {
                return false
            }
            done += piece
        }
        return true
    }
}
