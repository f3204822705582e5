// What the scripts of clients and backends can do with their ends of connections. None of it blocks.

extension SimulatedKernel {
    /// A client begins to connect to a listener, at `time`. Answers the connection.
    public func connectClient(listener: Int32, at time: UInt64) -> Int32 {
        let index = newConnection(.client, place: listener)
        schedule(.connectionArrives, at: time, index: index)
        return index
    }

    /// Takes up to `limit` bytes; answers how many.
    public func peerRead(_ index: Int32, limit: UInt64) -> UInt64 {
        let connection = connections + Int(index)
        let count = min(limit, connection.pointee.toPeer.unread)
        if count == 0 { return 0 }
        connection.pointee.toPeer.read += count
        schedule(.windowOpensForUs, at: arrivalTime(), index: index)
        return count
    }

    /// Gives up to `limit` bytes; answers how many found room.
    public func peerWrite(_ index: Int32, limit: UInt64) -> UInt64 {
        let connection = connections + Int(index)
        if connection.pointee.isPeerClosed || connection.pointee.toUs.isEndWritten { return 0 }
        let count = min(limit, connection.pointee.room(connection.pointee.toUs))
        if count == 0 { return 0 }
        connection.pointee.toUs.written += count
        peerSendsOn(index, isEnd: false)
        return count
    }

    private func peerSendsOn(_ index: Int32, isEnd: Bool) {
        let connection = connections + Int(index)
        if happens(.networkReset) { return resetByPeer(index) }
        let time = max(arrivalTime(), connection.pointee.toUs.lastArrival)
        connection.pointee.toUs.lastArrival = time
        schedule(
            .arrivesAtUs, at: time, index: index, value: connection.pointee.toUs.written,
            extra: isEnd ? 1 : 0)
    }

    /// The peer sends no more.
    public func peerEnd(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.toUs.isEndWritten || connection.pointee.isPeerClosed { return }
        connection.pointee.toUs.isEndWritten = true
        peerSendsOn(index, isEnd: true)
    }

    /// The peer closes: with bytes unread, that is a reset.
    public func peerClose(_ index: Int32) {
        let connection = connections + Int(index)
        if connection.pointee.isPeerClosed { return }
        if connection.pointee.toPeer.unread > 0 { return resetByPeer(index) }
        peerEnd(index)
        connection.pointee.isPeerClosed = true
    }

    public func peerReset(_ index: Int32) { resetByPeer(index) }
}
