// The life of one exchange. Request and first receive go to the kernel together, so that an answer that comes
// early is seen.
//
//   connecting -> exchanging -> closing -> (slot freed)
//        \____________________/
//
// The verdict is delivered when it is known; the slot is freed when nothing of it is in the kernel.

import Base
import CLiburing
import Glibc
import Ring

/// Which operations of an exchange are in the kernel.
struct OperationsInKernel: OptionSet, BitwiseCopyable {
    let rawValue: UInt8

    init(rawValue: UInt8) { self.rawValue = rawValue }
    init(_ operation: Prober.Operation) { rawValue = 1 << operation.rawValue }
}

struct Exchange: BitwiseCopyable {
    enum State: UInt8 {
        case connecting, exchanging, closing
    }

    var state: State
    var inKernel: OperationsInKernel = []
    var descriptor: Int32
    /// Bytes of the request that were sent.
    var sent = 0
    /// Bytes of the answer that came.
    var received = 0
    /// Why the request could not be sent; the receive may yet bring an answer.
    var sendErrno: Int32 = 0
    var reference: UInt64
    var startedAt: UInt64
    var deadline: UInt64
}

extension Prober {
    /// The prober has a slot free.
    func begin(_ probe: Probe, _ reference: UInt64) {
        let descriptor = ring.port.makeStreamSocket(ring.port.context, probe.family)
        guard descriptor >= 0, let slot = exchanges.allocate() else {
            precondition(descriptor < 0, "there is a free slot")
            let cause = ProbeCause(errno: -descriptor, isConnecting: true)
            deliver(
                ProbeResult(
                    reference: reference, startedAt: now, durationNanoseconds: 0, cause: cause,
                    detail: cause == .failed ? "socket: errno \(-descriptor)" : "", answer: []))
            return
        }
        probes[Int(slot)] = probe
        exchanges[slot].pointee = Exchange(
            state: .connecting, descriptor: descriptor, reference: reference, startedAt: now,
            deadline: now &+ probe.timeoutNanoseconds)
        if probe.closesWithReset, probe.isTCP { resetOnClose(descriptor) }
        submitConnect(slot, probe)
    }

    private func resetOnClose(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = ring.port.setOption(
            ring.port.context, descriptor, SOL_SOCKET, SO_LINGER, &option,
            UInt32(MemoryLayout<linger>.size))
    }

    private func submitConnect(_ slot: UInt32, _ probe: Probe) {
        let exchange = exchanges[slot]
        ring.connect(
            exchange.pointee.descriptor, to: probe.address, length: probe.addressLength,
            token: submitting(.connect, slot))
        timers.set(slot, deadline: exchange.pointee.deadline)
    }

    /// The token for an operation that is submitted now.
    private func submitting(_ operation: Operation, _ slot: UInt32) -> Token {
        let inserted = exchanges[slot].pointee.inKernel.insert(OperationsInKernel(operation)).inserted
        precondition(inserted, "one operation of a kind is in the kernel")
        return Token(operation: operation.rawValue, generation: exchanges.generation(slot), slot: slot)
    }

    func completed(_ slot: UInt32, _ operation: Operation, _ result: Int32) {
        let exchange = exchanges[slot]
        let removed = exchange.pointee.inKernel.remove(OperationsInKernel(operation))
        precondition(removed != nil, "a completion belongs to a submission")
        if exchange.pointee.state == .closing {
            if exchange.pointee.inKernel.isEmpty { free(slot) }
            return
        }
        guard let probe = probes[Int(slot)] else { preconditionFailure("an exchange has a probe") }
        switch operation {
        case .connect: connected(slot, probe, result)
        case .send: sent(slot, probe, result)
        case .receive: received(slot, probe, result)
        case .cancel, .wake, .close: preconditionFailure("only what is closing is cancelled")
        }
    }

    // MARK: Steps

    private func connected(_ slot: UInt32, _ probe: Probe, _ result: Int32) {
        if result == 0 {
            exchanges[slot].pointee.state = .exchanging
            guard probe.judge != nil else { return end(slot, .ok) }
            receive(slot)
            if probe.request.count > 0 { send(slot, probe) }
        } else if result == -EAGAIN, !probe.isTCP {
            // A unix socket whose queue is full: nothing tells when there is room (connect(2)).
            let retry = now + Self.queueRetryNanoseconds
            timers.set(slot, deadline: min(retry, exchanges[slot].pointee.deadline))
        } else {
            end(slot, ProbeCause(errno: -result, isConnecting: true), errno: -result)
        }
    }

    private func send(_ slot: UInt32, _ probe: Probe) {
        let exchange = exchanges[slot]
        let sent = exchange.pointee.sent
        ring.send(
            exchange.pointee.descriptor, UnsafeRawPointer(probe.request.baseAddress!) + sent,
            count: probe.request.count - sent, token: submitting(.send, slot))
    }

    private func sent(_ slot: UInt32, _ probe: Probe, _ result: Int32) {
        let exchange = exchanges[slot]
        if result < 0, result != -EINTR {
            // The receive ends too, with what the server said before it closed, or with its deadline.
            exchange.pointee.sendErrno = -result
            return
        }
        exchange.pointee.sent += Int(max(result, 0))
        if exchange.pointee.sent < probe.request.count { send(slot, probe) }
    }

    private func receive(_ slot: UInt32) {
        let exchange = exchanges[slot]
        let received = exchange.pointee.received
        ring.receive(
            exchange.pointee.descriptor, into: answer(slot) + received,
            count: settings.answerLimitBytes - received, token: submitting(.receive, slot))
    }

    private func answer(_ slot: UInt32) -> UnsafeMutablePointer<UInt8> {
        answers + Int(slot) * settings.answerLimitBytes
    }

    private func received(_ slot: UInt32, _ probe: Probe, _ result: Int32) {
        let exchange = exchanges[slot]
        if result == -EINTR { return receive(slot) }
        if result < 0 { return end(slot, ProbeCause(errno: -result, isConnecting: false), errno: -result) }
        exchange.pointee.received += Int(result)
        guard let judge = probe.judge else { preconditionFailure("without a judge nothing is received") }
        let octets = UnsafeBufferPointer(start: answer(slot), count: exchange.pointee.received)
        switch judge(octets, result == 0) {
        case .matched: end(slot, .ok)
        case .unexpected(let detail): end(slot, .unexpectedAnswer, detail: detail)
        case .needsMore where result == 0:
            end(slot, exchange.pointee.sendErrno == 0 ? .closed : .reset)
        case .needsMore where octets.count == settings.answerLimitBytes:
            end(slot, .unexpectedAnswer, detail: "no verdict within \(octets.count) bytes")
        case .needsMore: receive(slot)
        }
    }

    func timerFired(_ slot: UInt32) {
        let exchange = exchanges[slot]
        switch exchange.pointee.state {
        case .closing: cancelAll(slot)
        case .exchanging: end(slot, .timeout)
        case .connecting:
            guard exchange.pointee.inKernel.isEmpty, now < exchange.pointee.deadline,
                let probe = probes[Int(slot)]
            else { return end(slot, .connectTimeout) }
            submitConnect(slot, probe)
        }
    }

    // MARK: The end

    /// Delivers the result; the slot follows when the kernel has given back what it has.
    func end(_ slot: UInt32, _ cause: ProbeCause, errno code: Int32 = 0, detail: String = "") {
        let exchange = exchanges[slot]
        let keepsAnswer = probes[Int(slot)]?.keepsAnswer ?? false
        let octets = UnsafeBufferPointer(start: answer(slot), count: exchange.pointee.received)
        deliver(
            ProbeResult(
                reference: exchange.pointee.reference, startedAt: exchange.pointee.startedAt,
                durationNanoseconds: now &- exchange.pointee.startedAt, cause: cause,
                detail: cause == .failed ? "errno \(code)" : detail, answer: keepsAnswer ? Array(octets) : [])
        )
        exchange.pointee.state = .closing
        timers.clear(slot)
        if exchange.pointee.inKernel.isEmpty { free(slot) } else { cancelAll(slot) }
    }

    /// Asks for everything back, and again after a while: the kernel does not find an operation between two tries.
    private func cancelAll(_ slot: UInt32) {
        if !exchanges[slot].pointee.inKernel.contains(OperationsInKernel(.cancel)) {
            ring.cancelAll(on: exchanges[slot].pointee.descriptor, token: submitting(.cancel, slot))
        }
        timers.set(slot, deadline: now + Self.cancelRetryNanoseconds)
    }

    private func free(_ slot: UInt32) {
        timers.clear(slot)
        ring.close(
            exchanges[slot].pointee.descriptor,
            token: Token(operation: Operation.close.rawValue, generation: 0, slot: slot))
        probes[Int(slot)] = nil
        exchanges.release(slot)
    }
}
