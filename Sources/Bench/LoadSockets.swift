// Connections of the load generator: making, closing, and trying again after a while.

import Base
import Glibc
import Ring

extension LoadWorker {
    /// How many may be in the making, but for connections that are made for a request: fewer than any server's
    /// queue, because a connection that finds it full is tried again by the kernel a second later.
    private static let connectingLimit = 128
    private static let restNanoseconds: UInt64 = 10_000_000
    /// Bytes; the kernel doubles it. A small one lets the sender feel the reader.
    private static let slowReceiveBufferBytes: Int32 = 4096

    /// Makes connections that wait, as many as may be: once a turn.
    mutating func openWaiting() {
        while connectingCount < Self.connectingLimit, let number = waiting.popFirst() { open(number) }
    }

    mutating func open(_ number: UInt32) {
        let connection = connections + Int(number)
        let descriptor = ring.port.makeStreamSocket(ring.port.context, Int32(target.pointee.ss_family))
        connection.pointee.state = .connecting
        connectingCount += 1
        guard descriptor >= 0 else {
            connectFailed(number, errno: -descriptor)
            return
        }
        connection.pointee.descriptor = descriptor
        connection.pointee.generation &+= 1
        if target.pointee.ss_family != AF_UNIX { set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        if isSlow(number) { set(descriptor, SOL_SOCKET, SO_RCVBUF, Self.slowReceiveBufferBytes) }
        let token = connection.pointee.submitting(.connect, number: number)
        ring.connect(descriptor, to: target, length: targetLength, token: token)
    }

    private func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        let length = UInt32(MemoryLayout<Int32>.size)
        _ = ring.port.setOption(ring.port.context, descriptor, level, name, &value, length)
    }

    mutating func connected(_ number: UInt32, _ result: Int32) {
        guard result == 0 else {
            connectFailed(number, errno: -result)
            return
        }
        let connection = connections + Int(number)
        connectingCount -= 1
        counts.connections += 1
        if !receivesOnce(number) { receive(number) }
        if connection.pointee.hasRequest { send(number) } else { becameIdle(number) }
    }

    private mutating func connectFailed(_ number: UInt32, errno code: Int32) {
        let connection = connections + Int(number)
        // Nothing has ever worked: there is nothing to measure.
        if counts.connections == 0 { failure = code }
        lost(number, Self.kind(ofErrno: code))
        connectingCount -= 1
        if connection.pointee.descriptor >= 0 {
            ring.close(connection.pointee.descriptor, token: Self.closeToken(number))
            connection.pointee.descriptor = -1
        }
        connection.pointee.state = .resting
        timers.set(number, deadline: now + Self.restNanoseconds)
    }

    private static func kind(ofErrno code: Int32) -> ErrorKind {
        switch code {
        case ECONNREFUSED: .connectRefused
        case ETIMEDOUT: .connectTimedOut
        case EADDRNOTAVAIL: .noLocalPort
        case EMFILE, ENFILE: .noDescriptor
        default: .connectFailed
        }
    }

    /// A timer has fired: the next piece of a slow reader, or the end of a rest.
    mutating func rested(_ number: UInt32) {
        switch connections[Int(number)].state {
        case .busy: receive(number)
        case .resting: closedOrRested(number)
        default: break
        }
    }

    // MARK: Closing

    /// Ends a connection; what is in the kernel comes back because the socket is shut down.
    mutating func close(_ number: UInt32) {
        let connection = connections + Int(number)
        if connection.pointee.state == .idle, !isSlow(number) { idle.remove(number) }
        connection.pointee.state = .closing
        timers.clear(number)
        if connection.pointee.inKernel == 0 { return closed(number) }
        _ = ring.port.shutdown(ring.port.context, connection.pointee.descriptor, Int32(SHUT_RDWR))
    }

    /// Nothing of it is in the kernel.
    mutating func closed(_ number: UInt32) {
        let connection = connections + Int(number)
        ring.close(connection.pointee.descriptor, token: Self.closeToken(number))
        connection.pointee.descriptor = -1
        connection.pointee.state = .waiting
        closedOrRested(number)
    }

    private mutating func closedOrRested(_ number: UInt32) {
        if plan.isFresh, !isSlow(number) {
            becameIdle(number)
        } else {
            connections[Int(number)].state = .waiting
            waiting.append(number)
        }
    }

    private static func closeToken(_ number: UInt32) -> Token {
        Token(operation: LoadConnection.Operation.close.rawValue, generation: 0, slot: number)
    }
}
