// The prober on the simulated kernel: every kind of server, with faults drawn from a seed. Whatever happens, each
// probe has one result, in time, and nothing of it stays in the kernel.

import Base
import Glibc
import Probing
import Ring
import SimulatedKernel
import Testing

/// A server that behaves as its port number says.
private enum Behaviour: UInt16, CaseIterable {
    case answers = 1, answersSlowly, answersWrong, hangs, ends, resets, answersAtOnce, endless, isSilent,
        refuses,
        isUnreachable, answersInDrops

    var answer: [UInt8] {
        switch self {
        case .answersWrong: Array("-ERR no\r\n".utf8)
        case .endless: [UInt8](repeating: 0x2B, count: 4096)
        default: Array("+PONG\r\n".utf8)
        }
    }
}

private final class Servers: PeerWorld {
    let kernel: SimulatedKernel
    private var behaviours: [Int32: Behaviour] = [:]
    private var written: [Int32: Int] = [:]
    private var answersAt: [Int32: UInt64] = [:]
    private(set) var received: [Int32: UInt64] = [:]

    init(_ kernel: SimulatedKernel) { self.kernel = kernel }

    func answerToConnect(_ connection: Int32, port: UInt16) -> ConnectAnswer {
        let behaviour = Behaviour(rawValue: port)!
        behaviours[connection] = behaviour
        switch behaviour {
        case .isSilent: return .silent
        case .refuses: return .refuses
        case .isUnreachable: return .unreachable
        default: return .accepts
        }
    }

    func backendAccepted(_ connection: Int32) {
        switch behaviours[connection]! {
        case .ends: kernel.peerClose(connection)
        case .resets: kernel.peerReset(connection)
        case .answersAtOnce: send(connection, limit: 64)
        case .endless: send(connection, limit: 4096)
        default: break
        }
    }

    func peerIsWoken(_ connection: Int32) {
        guard let behaviour = behaviours[connection] else { return }
        received[connection, default: 0] += kernel.peerRead(connection, limit: .max)
        let isAsked = received[connection]! >= 6
        switch behaviour {
        case .answers, .answersWrong: if isAsked { send(connection, limit: 64) }
        case .endless: send(connection, limit: 4096)
        case .answersInDrops:
            if isAsked, written[connection, default: 0] < behaviour.answer.count {
                send(connection, limit: 1)
                kernel.schedulePeerTimer(connection, at: kernel.now + 3_000_000)
            }
        case .answersSlowly:
            if isAsked, answersAt[connection] == nil {
                answersAt[connection] = kernel.now + 30_000_000
                kernel.schedulePeerTimer(connection, at: kernel.now + 30_000_000)
            }
            if let time = answersAt[connection], kernel.now >= time { send(connection, limit: 64) }
        default: break
        }
    }

    private func send(_ connection: Int32, limit: Int) {
        let behaviour = behaviours[connection]!
        let done = behaviour == .endless ? 0 : written[connection, default: 0]
        let rest = behaviour.answer.dropFirst(done).prefix(limit)
        if rest.isEmpty { return }
        let count = rest.withUnsafeBytes { kernel.peerWrite(connection, $0) }
        written[connection, default: 0] += Int(count)
    }

    func clientWasRefused(_ connection: Int32) {}
    func worldTimerFired(_ value: UInt64) {}
    func logReceived(_ log: Int32, _ bytes: UnsafeRawBufferPointer) {}
    func logLost(_ log: Int32) {}
    func workerSent(_ connection: Int32) {}
}

private let timeout: UInt64 = 100_000_000

private func address(_ behaviour: Behaviour) -> SocketAddress {
    SocketAddress(ipv4: 0x7F00_0001, port: behaviour.rawValue)
}

private func plainPlan() -> FaultPlan {
    var plan = FaultPlan()
    plan.carriesBytes = true
    plan.allowsOwnMemory = true
    return plan
}

/// Turns until all is over. Answers the results by reference.
private func run(_ prober: Prober, _ kernel: SimulatedKernel) -> [UInt64: ProbeResult] {
    var found: [UInt64: ProbeResult] = [:]
    for _ in 0..<200_000 {
        let code = prober.turn(waitingUntil: kernel.now + 50_000_000)
        #expect(code == 0)
        while let result = prober.nextResult() {
            #expect(found.updateValue(result, forKey: result.reference) == nil, "one result each")
        }
        if prober.isIdle { return found }
    }
    Issue.record("the prober does not come to rest")
    return found
}

private func cause(_ behaviour: Behaviour, _ make: (SocketAddress) -> Probe) throws -> ProbeResult {
    let kernel = SimulatedKernel(seed: 7, plan: plainPlan())
    let servers = Servers(kernel)
    kernel.world = servers
    let prober = try Prober(port: kernel.port, ProberSettings())
    #expect(prober.submit(make(address(behaviour)), reference: 1))
    let results = run(prober, kernel)
    #expect(kernel.failure == nil)
    #expect(kernel.openDescriptors == 0)
    return try #require(results[1])
}

@Suite struct SimulatedTests {
    @Test(arguments: [
        (Behaviour.answers, ProbeCause.ok), (.answersSlowly, .ok), (.answersInDrops, .ok),
        (.answersWrong, .unexpectedAnswer), (.hangs, .timeout), (.ends, .closed), (.resets, .reset),
        (.answersAtOnce, .ok), (.endless, .unexpectedAnswer), (.isSilent, .connectTimeout),
        (.refuses, .connectRefused), (.isUnreachable, .connectUnreachable),
    ])
    private func eachServerHasItsCause(behaviour: Behaviour, expected: ProbeCause) throws {
        let result = try cause(behaviour) { .redisPing(to: $0, timeoutNanoseconds: timeout) }
        #expect(result.cause == expected)
        #expect((expected == .unexpectedAnswer) == !result.detail.isEmpty)
        if expected == .timeout || expected == .connectTimeout {
            #expect(result.durationNanoseconds >= timeout)
        }
        #expect(result.durationNanoseconds < timeout + 20_000_000)
    }

    @Test func aConnectionIsEnoughWhereNothingIsAsked() throws {
        let result = try cause(.hangs) { .connection(to: $0, timeoutNanoseconds: timeout) }
        #expect(result.cause == .ok)
        #expect(result.durationNanoseconds >= 100_000, "a round trip")
    }

    @Test func anAnswerWithoutAVerdictEndsAtTheLimit() throws {
        let result = try cause(.endless) {
            Probe(to: $0, judge: { _, _ in .needsMore }, timeoutNanoseconds: 10_000_000_000)
        }
        #expect(result.cause == .unexpectedAnswer)
        #expect(result.detail == "no verdict within 65536 bytes")
    }

    @Test func theAnswerIsKeptWhereWanted() throws {
        let result = try cause(.answersInDrops) {
            Probe(
                to: $0, sending: Array("PING\r\n".utf8),
                judge: { octets, _ in octets.count == 7 ? .matched : .needsMore },
                timeoutNanoseconds: timeout, closesWithReset: true, keepsAnswer: true)
        }
        #expect(result.answer == Array("+PONG\r\n".utf8))
    }

    @Test func probesWaitInOrderForASlot() throws {
        let kernel = SimulatedKernel(seed: 3, plan: plainPlan())
        let servers = Servers(kernel)
        kernel.world = servers
        var settings = ProberSettings()
        settings.inFlightLimit = 2
        settings.waitingLimit = 40
        let prober = try Prober(port: kernel.port, settings)
        let probe = Probe.redisPing(to: address(.answers), timeoutNanoseconds: timeout)
        for reference in 0..<40 { #expect(prober.submit(probe, reference: UInt64(reference))) }
        #expect(!prober.submit(probe, reference: 99), "the queue is bounded")
        #expect(prober.turn(waitingUntil: kernel.now) == 0)
        #expect(prober.inFlightCount == 2 && prober.waitingCount == 38)
        let results = run(prober, kernel)
        #expect(results.count == 40)
        #expect(results.values.allSatisfy { $0.cause == .ok })
        for reference in 1..<40 {
            #expect(results[UInt64(reference)]!.startedAt >= results[UInt64(reference - 1)]!.startedAt)
        }
        #expect(kernel.failure == nil)
    }

    @Test func aStopEndsEverythingAtOnce() throws {
        let kernel = SimulatedKernel(seed: 5, plan: plainPlan())
        let servers = Servers(kernel)
        kernel.world = servers
        var settings = ProberSettings()
        settings.inFlightLimit = 4
        let prober = try Prober(port: kernel.port, settings)
        for behaviour in [Behaviour.hangs, .isSilent, .hangs, .endless, .answers, .refuses] {
            let probe = Probe(
                to: address(behaviour), sending: [1], judge: { _, _ in .needsMore },
                timeoutNanoseconds: 3_600_000_000_000)
            #expect(
                prober.submit(probe, reference: UInt64(behaviour.rawValue) << 8 | UInt64(prober.waitingCount))
            )
        }
        for _ in 0..<3 { #expect(prober.turn(waitingUntil: kernel.now + 1_000_000) == 0) }
        let stoppedAt = kernel.now
        prober.stop()
        #expect(!prober.submit(.connection(to: address(.answers), timeoutNanoseconds: 1), reference: 0))
        let results = run(prober, kernel)
        #expect(results.count == 6)
        #expect(results.values.allSatisfy { $0.cause == .stopped || $0.cause == .unexpectedAnswer })
        #expect(kernel.now - stoppedAt < 200_000_000)
        #expect(kernel.failure == nil)
        #expect(kernel.openDescriptors == 0)
    }

    @Test(arguments: 1...150)
    func underFaultsEachProbeHasOneResultInTime(seed: Int) throws {
        var random = RandomSource(seed: UInt64(seed))
        var plan = plainPlan()
        for fault in Fault.allCases where random.next() % 3 == 0 {
            plan.odds[fault.rawValue] = UInt16(random.next() % 8000)
        }
        plan.descriptorLimit = random.next() % 3 == 0 ? 5 : 4096
        plan.windowBytes = random.next() % 2 == 0 ? 64 : 65_536
        let kernel = SimulatedKernel(seed: UInt64(seed), plan: plan)
        let servers = Servers(kernel)
        kernel.world = servers
        var settings = ProberSettings()
        settings.inFlightLimit = 1 + Int(random.next() % 16)
        settings.wakeDescriptor = kernel.openEventCounter()
        let prober = try Prober(port: kernel.port, settings)
        let probes = Behaviour.allCases.map { behaviour in
            behaviour.rawValue % 4 == 3
                ? Probe.connection(to: address(behaviour), timeoutNanoseconds: timeout)
                : Probe.redisPing(to: address(behaviour), timeoutNanoseconds: timeout)
        }
        let total = 60
        for reference in 0..<total {
            let probe = probes[Int(random.next() % UInt64(probes.count))]
            #expect(prober.submit(probe, reference: UInt64(reference)))
        }
        if random.next() % 4 == 0 {
            _ = prober.turn(waitingUntil: kernel.now + 1_000_000)
            prober.stop()
        }
        let results = run(prober, kernel)
        #expect(results.count == total)
        for result in results.values { #expect(result.durationNanoseconds < timeout + 20_000_000) }
        #expect(kernel.failure == nil)
        #expect(kernel.openDescriptors == 1, "the event counter")
    }
}
