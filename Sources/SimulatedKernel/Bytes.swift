// The bytes of connections that carry messages instead of a `Pattern`: what was ever written either way is kept,
// so that a byte is found by its position, in a socket or in a pipe, and whoever watches may read it again.

import Glibc

/// What went over each connection, by connection number.
struct ByteStore {
    private(set) var toUs: [[UInt8]] = []
    private(set) var toPeer: [[UInt8]] = []

    mutating func addConnection() {
        toUs.append([])
        toPeer.append([])
    }

    mutating func appendToUs(_ connection: Int32, _ octets: UnsafeRawBufferPointer) {
        toUs[Int(connection)].append(contentsOf: octets)
    }

    mutating func appendToPeer(_ connection: Int32, _ octets: UnsafeRawBufferPointer) {
        toPeer[Int(connection)].append(contentsOf: octets)
    }

    /// What a connection's peer sent goes to the peer of another one.
    mutating func pass(_ count: Int, from source: Int32, at position: UInt64, to destination: Int32) {
        let first = Int(position)
        toPeer[Int(destination)].append(contentsOf: toUs[Int(source)][first..<(first + count)])
    }
}

extension SimulatedKernel {
    /// A peer gives bytes; answers how many found room.
    public func peerWrite(_ index: Int32, _ octets: UnsafeRawBufferPointer) -> UInt64 {
        let count = peerWrite(index, limit: UInt64(octets.count))
        store.appendToUs(index, UnsafeRawBufferPointer(rebasing: octets[..<Int(count)]))
        return count
    }

    /// All that the worker has sent on a connection.
    public func withBytesToPeer<Result>(
        _ index: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        store.toPeer[Int(index)].withUnsafeBufferPointer(body)
    }

    /// What the worker receives from `position` on.
    func fillReceived(_ memory: UnsafeMutableRawPointer, count: Int, of index: Int32, at position: UInt64) {
        guard plan.carriesBytes else {
            pattern.fill(memory, count: count, of: index, at: position)
            return
        }
        store.toUs[Int(index)].withUnsafeBytes { octets in
            memory.copyMemory(from: octets.baseAddress! + Int(position), byteCount: count)
        }
    }
}
